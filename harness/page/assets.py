"""The page's own files: made by the build of `web/` in a clone, and part of the wheel."""

from pathlib import Path
from typing import Literal

from harness.bundle import BUNDLE, IS_CLONE
from harness.errors import HarnessError

STATIC = Path(__file__).with_name("static")

AssetName = Literal["page.html", "page.js", "page.css", "icon.svg", "LICENSES.txt"]


def read_asset(name: AssetName) -> bytes:
    """Return the content of one of the page's files.

    Raises:
        HarnessError: The page was not built.
    """
    try:
        return (STATIC / name).read_bytes()
    except FileNotFoundError as error:
        raise HarnessError(
            "the page is not built: this installation lacks its scripts and styles",
            str(STATIC / name),
            f"build it: make -C {BUNDLE} page" if IS_CLONE else "install a wheel that was built after `make page`",
        ) from error
