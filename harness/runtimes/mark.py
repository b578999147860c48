"""The comment of a deployment package that names libraries in the cache, in place of carrying them.

Only the gateway on this machine reads it, and only below its own cache: a package for AWS has the libraries in it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

DIGEST = re.compile(r"[0-9a-f]{32}")
_MARK = "lambda-harness libraries: "


def libraries_folder(cache: Path) -> Path:
    """Return the folder of all libraries in a user's cache."""
    return cache / "libraries"


def package_comment(libraries: Iterable[Path]) -> bytes:
    """Return the comment that names these folders of the cache; empty if there are none."""
    names = [folder.name for folder in libraries]
    return f"{_MARK}{' '.join(names)}".encode() if names else b""


def named_in(comment: bytes, cache: Path) -> list[Path]:
    """Return the folders that a package's comment names; none if it is another comment.

    Raises:
        LookupError: The cache does not have one of them.
    """
    text = comment.decode("ascii", errors="replace")
    if not text.startswith(_MARK):
        return []
    found = []
    for name in text.removeprefix(_MARK).split():
        folder = libraries_folder(cache) / name
        if not DIGEST.fullmatch(name) or not folder.is_dir():
            raise LookupError(name)
        found.append(folder)
    return found
