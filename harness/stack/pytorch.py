"""PyTorch, which only neural networks need: installed when the first of them is trained, as its build for CPUs.

    python -m harness.stack.pytorch        # what `make` calls; ends with 1 where no build for CPUs can be had

On Linux, pip's usual index has PyTorch's build for NVIDIA's cards, which brings gigabytes that nothing here uses.
So pip is first asked what it would install; see requirements/torch.txt for the index of CPU builds.
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

# Names this variable, as `make` and the builds of images do, where pip finds PyTorch's CPU builds.
INDEX_VARIABLE = "TORCH_INDEX"
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "torch.txt"

# Packages that only the build for NVIDIA's cards depends on.
_FOR_CARDS = re.compile(r"nvidia-|cuda-|triton$")
_SIZE_WITHIN_S = 10.0
_MB = 1_000_000


@dataclass(frozen=True)
class Package:
    """One package that pip would install.

    Attributes:
        name: Its name and version.
        url: Where pip would take it from.
    """

    name: str
    url: str


def is_installed() -> bool:
    """Return whether the functions of process mode can import PyTorch; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def ensure_pytorch(log: Callable[[str], None]) -> None:
    """Install PyTorch's CPU build into the harness's own environment, unless it is there.

    Args:
        log: Called with the size before the download.

    Raises:
        HarnessError: pip finds no build for CPUs, or cannot install it.
    """
    if is_installed():
        return
    index = os.environ.get(INDEX_VARIABLE, "")
    log("PyTorch is needed and not installed: asking pip for its CPU build")
    packages = check_build(planned(REQUIREMENTS, index))
    log(f"installing PyTorch (once): {download_size(packages)} to download")
    # Byte code of all of torch takes longer than the installation; the import writes what is used.
    _pip(REQUIREMENTS, index, "--no-compile")
    importlib.invalidate_caches()
    done = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(
            "PyTorch was installed and cannot be imported",
            (done.stderr.strip().splitlines() or ["it printed nothing"])[-1],
            f"see {REQUIREMENTS}",
        )


def planned(requirements: Path, index: str = "") -> list[Package]:
    """Return the packages that pip would install, without installing or downloading any.

    Args:
        requirements: What is to be installed.
        index: The address of the index to look in; empty for pip's usual one.

    Raises:
        HarnessError: pip cannot tell.
    """
    report = json.loads(_pip(requirements, index, "--dry-run", "--report", "-"))
    return [
        Package(f"{item['metadata']['name']} {item['metadata']['version']}", item["download_info"]["url"])
        for item in report["install"]
    ]


def check_build(packages: list[Package]) -> list[Package]:
    """Return the packages if they are a build for CPUs.

    Raises:
        HarnessError: They are the build for NVIDIA's cards; its size is named.
    """
    for_cards = [package for package in packages if _FOR_CARDS.match(package.name.lower().partition(" ")[0])]
    if for_cards:
        raise HarnessError(
            f"pip's index has PyTorch's build for NVIDIA's cards only: {download_size(packages)}",
            f"{len(for_cards)} packages such as {for_cards[0].name}",
            f"set {INDEX_VARIABLE} to PyTorch's index of CPU builds ({REQUIREMENTS} says where it is named)",
        )
    return packages


def download_size(packages: list[Package]) -> str:
    """Return the size of the packages in MB, as far as their servers name it."""
    sizes = [_size(package.url) for package in packages]
    known = sum(size for size in sizes if size is not None)
    return f"{'over ' if None in sizes else ''}{known / _MB:,.0f} MB"


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
    """Install PyTorch where it is missing; end with 1 and the reason where that cannot be done."""
    try:
        ensure_pytorch(lambda line: print(f"setup: {line}", file=sys.stderr))  # noqa: T201 - make's own manner
    except HarnessError as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
