"""The comment of a deployment package that names libraries and layers in the cache, in place of carrying them.

Only the gateway on this machine reads it, and only below its own cache: a package for AWS has the libraries in it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

_MARK = "lambda-harness cache: "
_NAME = re.compile(r"(libraries|layers)/[0-9a-f]{32}")
# The folder of a function's layers within its own; on AWS, this is /opt.
OPT = ".lambda-opt"


def libraries_folder(cache: Path) -> Path:
    """Return the folder of all libraries in a user's cache."""
    return cache / "libraries"


def layers_folder(cache: Path) -> Path:
    """Return the folder of all layers in a user's cache."""
    return cache / "layers"


def package_comment(folders: Iterable[Path]) -> bytes:
    """Return the comment that names these folders of the cache; empty if there are none."""
    names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    return f"{_MARK}{' '.join(names)}".encode() if names else b""


def named_in(comment: bytes, cache: Path) -> tuple[list[Path], list[Path]]:
    """Return the libraries and the layers that a package's comment names; none if it is another comment.

    Raises:
        LookupError: The cache does not have one of them.
    """
    text = comment.decode("ascii", errors="replace")
    libraries: list[Path] = []
    layers: list[Path] = []
    for name in text.removeprefix(_MARK).split() if text.startswith(_MARK) else ():
        folder = cache / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            raise LookupError(name)
        (libraries if folder.parent == libraries_folder(cache) else layers).append(folder)
    return libraries, layers
