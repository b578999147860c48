"""Install PyTorch's CPU build when the first neural network is trained; no other model needs it.

    python -m harness.stack.pytorch        # called by `make`; exits with 1 if no CPU build is available

On Linux, pip's default index has PyTorch's CUDA build, which downloads gigabytes that nothing here uses.
Therefore pip is first asked what it would install; requirements/torch.txt names the index of CPU builds.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from harness.errors import HarnessError

# This variable holds the index of PyTorch's CPU builds; `make` and the image builds use it too.
INDEX_VARIABLE = "TORCH_INDEX"
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "torch.txt"

# Packages that only the CUDA build depends on.
_FOR_CARDS = re.compile(r"nvidia-|cuda-|triton$")
_SIZE_WITHIN_S = 10.0
_MB = 1_000_000


@dataclass(frozen=True)
class Distribution:
    """One package that pip would install.

    Attributes:
        name: Its name and version.
        url: The address from which pip would download it.
    """

    name: str
    url: str


def is_installed() -> bool:
    """Return whether functions in process mode can import PyTorch, without importing it."""
    return importlib.util.find_spec("torch") is not None


def ensure_pytorch(log: Callable[[str], None]) -> None:
    """Install PyTorch's CPU build into the harness's own environment, unless it is installed.

    Args:
        log: Called with the size before the download.

    Raises:
        HarnessError: pip finds no CPU build, or cannot install it.
    """
    if is_installed():
        return
    index = os.environ.get(INDEX_VARIABLE, "")
    log("PyTorch is needed and not installed: asking pip for its CPU build")
    packages = check_build(planned(REQUIREMENTS, index))
    log(f"installing PyTorch (once): {download_size(packages)}")
    # Compiling all of torch takes longer than installing it; the import compiles the modules that it uses.
    _pip(REQUIREMENTS, index, "--no-compile")
    importlib.invalidate_caches()
    done = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(
            "PyTorch was installed, but cannot be imported",
            (done.stderr.strip().splitlines() or ["it printed nothing"])[-1],
            f"see {REQUIREMENTS}",
        )


def planned(requirements: Path, index: str = "") -> list[Distribution]:
    """Return the packages that pip would install, without installing or downloading any.

    Args:
        requirements: The requirements file.
        index: The address of the package index; empty for pip's default.

    Raises:
        HarnessError: pip cannot resolve the requirements.
    """
    report = json.loads(_pip(requirements, index, "--dry-run", "--report", "-"))
    return [
        Distribution(f"{item['metadata']['name']} {item['metadata']['version']}", item["download_info"]["url"])
        for item in report["install"]
    ]


def check_build(packages: list[Distribution]) -> list[Distribution]:
    """Return the packages if they are a CPU build.

    Raises:
        HarnessError: They are the CUDA build; the message gives its size.
    """
    for_cards = [package for package in packages if _FOR_CARDS.match(package.name.lower().partition(" ")[0])]
    if for_cards:
        raise HarnessError(
            f"pip's index has only PyTorch's CUDA build: {download_size(packages)}",
            f"{len(for_cards)} packages such as {for_cards[0].name}",
            f"set {INDEX_VARIABLE} to PyTorch's index of CPU builds (see {REQUIREMENTS})",
        )
    return packages


def download_size(packages: list[Distribution]) -> str:
    """Return the total size of the packages in words, as far as their servers report it."""
    sizes = [_size(package.url) for package in packages]
    known = [size for size in sizes if size is not None]
    if not known:
        return "a download whose size the package index does not tell"
    return f"{'over ' if None in sizes else ''}{sum(known) / _MB:,.0f} MB to download"


def _size(url: str) -> int | None:
    parts = urlsplit(url)
    with suppress(OSError, httpx.HTTPError, KeyError, ValueError):
        if parts.scheme == "file":
            return Path(unquote(parts.path)).stat().st_size
        answer = httpx.head(url, follow_redirects=True, timeout=_SIZE_WITHIN_S)
        return int(answer.raise_for_status().headers["content-length"])
    return None


def _pip(requirements: Path, index: str, *options: str) -> str:
    where = ("--index-url", index) if index else ()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *where]
    done = subprocess.run(
        [*command, "--requirement", str(requirements)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise HarnessError(
            "pip cannot install PyTorch",
            (errors or done.stderr.strip().splitlines() or ["it printed nothing"])[-1],
            f"install torch into {sys.prefix} yourself, or set {INDEX_VARIABLE}; see {REQUIREMENTS}",
        )
    return done.stdout


def main() -> None:
    """Install PyTorch if it is missing; exit with 1 and the reason if that fails."""
    try:
        ensure_pytorch(lambda line: print(f"setup: {line}", file=sys.stderr))  # noqa: T201 - `make` prints progress
    except HarnessError as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
