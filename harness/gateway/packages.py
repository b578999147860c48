"""Deployment packages of process mode, unpacked into folders.

    <root>/<function>/<digest>/      one for each package that a version has or an environment still runs
    <root>/<function>/<digest>.zip   the package as it was sent, for `Code.Location` of GetFunction

Invariant: a folder of code is removed only when no version has it and no environment runs it.
"""

import asyncio
import base64
import binascii
import hashlib
import shutil
import uuid
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, no_room, zipped_too_large
from harness.gateway.records import Function, Package
from harness.gateway.requests import FunctionCode, ImageConfig
from harness.gateway.unpacking import COULD_NOT_UNZIP, unpack

# Decoding blocks the interpreter and so all other invocations; in pieces, they can run in between.
_DECODED_AT_ONCE = 1 << 20
ARCHIVE = ".zip"


class CodeFolders:
    """The unpacked packages.

    Args:
        root: Contains them; the remains of a gateway that was killed are removed.
        cache: The user's cache, with the libraries that packages may name; None to accept no such package.
    """

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self._root, self._cache = root, cache
        self._held: Counter[Path] = Counter()
        self.unneeded = asyncio.Event()  # set when there may be folders that nobody needs anymore
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)

    def package(
        self, name: str, code: FunctionCode, config: ImageConfig, architecture: str, fetched: bytes | None = None
    ) -> Package:
        """Unpack a deployment package; see `Packages`."""
        del config
        if code.image_uri:
            raise invalid_parameter("Process mode runs deployment packages, not images: run a stack of containers.")
        if architecture != limits.ARCHITECTURE:
            raise invalid_parameter(f"This machine runs only functions for {limits.ARCHITECTURE}, not {architecture}.")
        package = decoded(code.zip_file or "") if fetched is None else fetched
        if fetched is None and len(package) >= limits.ZIPPED_BYTES:
            raise zipped_too_large()
        digest = hashlib.sha256(package)
        folder = self._root / name / digest.hexdigest()[:16]
        unpack(package, folder, self._cache)
        archive = folder.with_suffix(ARCHIVE)
        _store(package, archive)
        sha256 = base64.b64encode(digest.digest()).decode()
        return Package(folder=folder, archive=archive, sha256=sha256, size=len(package))

    def hold(self, function: Function) -> None:
        """Keep a function's code and layers for an environment, whatever happens to the function."""
        self._held.update(_folders(function))

    def release(self, function: Function) -> None:
        """Release the code and the layers of an environment that has ended."""
        for folder in _folders(function):
            self._held[folder] -= 1
            if not self._held[folder]:
                del self._held[folder]
                self.unneeded.set()

    def held(self) -> set[Path]:
        """Return the folders that environments run with."""
        return set(self._held)

    def remove_all_but(self, needed: Collection[Path]) -> None:
        """Remove the folders that are neither needed nor held; no package may be unpacked at the same time.

        Args:
            needed: The folders of all versions, read before this call: if a function is deleted afterwards and one of
                its environments starts, its code is already held.
        """
        for path in [path for name in self._root.glob("*") for path in name.iterdir()]:
            folder = path.with_suffix("") if path.suffix == ARCHIVE else path
            if folder in needed or folder in self._held:
                continue
            if path.suffix == ARCHIVE:
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)
        for name in self._root.glob("*"):
            if not any(name.iterdir()):
                name.rmdir()


def _folders(function: Function) -> list[Path]:
    own = function.package.folder
    return [*([] if own is None else [own]), *function.layers]


def _store(package: bytes, archive: Path) -> None:
    """Write a package beside the folder with its content; it appears whole or not at all."""
    if archive.exists():
        return
    partial = archive.with_suffix(f".{uuid.uuid4().hex}")
    try:
        partial.write_bytes(package)
        partial.rename(archive)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise no_room(str(archive.parent)) from error


def decoded(text: str) -> bytes:
    """Return the bytes of a package in base64.

    Raises:
        LambdaApiError: It is not base64.
    """
    try:
        return b"".join(
            binascii.a2b_base64(text[start : start + _DECODED_AT_ONCE], strict_mode=True)
            for start in range(0, len(text), _DECODED_AT_ONCE)
        )
    except (binascii.Error, ValueError) as error:
        raise invalid_parameter(COULD_NOT_UNZIP) from error
