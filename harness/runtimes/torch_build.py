"""PyTorch's two builds: pip's default index has the CUDA build, which downloads gigabytes that nothing here uses.

Therefore pip is first asked what it would install; requirements/torch.txt names the index of CPU builds.
"""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.runtimes.pip import pip

# This variable holds the index of PyTorch's CPU builds; `make` and the image builds use it too.
INDEX_VARIABLE = "TORCH_INDEX"
REQUIREMENTS = BUNDLE / "requirements" / "torch.txt"

# Packages that only the CUDA build depends on.
_FOR_CARDS = re.compile(r"nvidia-|cuda-|triton$")
_SIZE_WITHIN_S = 10.0
_MB = 1_000_000


@dataclass(frozen=True)
class PlannedPackage:
    """One package that pip would install.

    Attributes:
        name: Its name and version.
        url: The address from which pip would download it.
    """

    name: str
    url: str


def index_options() -> list[str]:
    """Return pip's options for the index of CPU builds, if the user has named one."""
    index = os.environ.get(INDEX_VARIABLE, "")
    return ["--index-url", index] if index else []


def planned(python: Path | None, options: Sequence[str]) -> list[PlannedPackage]:
    """Return the packages that pip would install, without installing or downloading any.

    Args:
        python: The interpreter for which they would be installed; None for the harness's own.
        options: pip's options, with the requirements.

    Raises:
        PipFailed: pip cannot resolve the requirements.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        pip(python, ["install", "--quiet", "--dry-run", "--report", str(file), *options])
        report = json.loads(file.read_bytes())
    return [
        PlannedPackage(f"{item['metadata']['name']} {item['metadata']['version']}", item["download_info"]["url"])
        for item in report["install"]
    ]


def check_build(packages: list[PlannedPackage]) -> list[PlannedPackage]:
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


def download_size(packages: list[PlannedPackage]) -> str:
    """Return the total size of the packages in words, as far as their servers report it."""
    sizes = [_size(package.url) for package in packages]
    known = [size for size in sizes if size is not None]
    if not known:
        return "a download whose size the package index does not tell"
    return f"{'over ' if None in sizes else ''}{sum(known) / _MB:,.0f} MB to download"


def _size(url: str) -> int | None:
    # It takes long to import, and few functions need PyTorch.
    import httpx  # noqa: PLC0415

    parts = urlsplit(url)
    with suppress(OSError, httpx.HTTPError, KeyError, ValueError):
        if parts.scheme == "file":
            return Path(unquote(parts.path)).stat().st_size
        answer = httpx.head(url, follow_redirects=True, timeout=_SIZE_WITHIN_S)
        return int(answer.raise_for_status().headers["content-length"])
    return None
