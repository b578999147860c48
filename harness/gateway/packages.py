"""Deployment packages of process mode, unpacked into folders.

    <root>/<function>/<digest>/      one for each package that a version has or an environment still runs

Invariant: a folder of code is removed only when no version has it and no environment runs it.
"""

import asyncio
import base64
import binascii
import hashlib
import shutil
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, zipped_too_large
from harness.gateway.records import Function, Package
from harness.gateway.requests import FunctionCode, ImageConfig
from harness.gateway.unpacking import COULD_NOT_UNZIP, unpack

# Decoding blocks the interpreter and so all other invocations; in pieces, they can run in between.
_DECODED_AT_ONCE = 1 << 20


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

    def package(self, name: str, code: FunctionCode, config: ImageConfig, architecture: str) -> Package:
        """Unpack a deployment package; see `Packages`."""
        del config
        if code.image_uri or code.s3_bucket or code.zip_file is None:
            raise invalid_parameter("Process mode accepts deployment packages only as Code.ZipFile.")
        if architecture != limits.ARCHITECTURE:
            raise invalid_parameter(f"This machine runs only functions for {limits.ARCHITECTURE}, not {architecture}.")
        package = _decoded(code.zip_file)
        if len(package) >= limits.ZIPPED_BYTES:
            raise zipped_too_large()
        digest = hashlib.sha256(package)
        folder = self._root / name / digest.hexdigest()[:16]
        unpack(package, folder, self._cache)
        return Package(folder=folder, sha256=base64.b64encode(digest.digest()).decode(), size=len(package))

    def hold(self, function: Function) -> None:
        """Keep a function's code for an environment, whatever happens to the function."""
        if function.package.folder is not None:
            self._held[function.package.folder] += 1

    def release(self, function: Function) -> None:
        """Release the code of an environment that has ended."""
        folder = function.package.folder
        if folder is None:
            return
        self._held[folder] -= 1
        if not self._held[folder]:
            del self._held[folder]
            self.unneeded.set()

    def remove_all_but(self, needed: Collection[Path]) -> None:
        """Remove the folders that are neither needed nor held; no package may be unpacked at the same time.

        Args:
            needed: The folders of all versions, read before this call: if a function is deleted afterwards and one of
                its environments starts, its code is already held.
        """
        for folder in [folder for name in self._root.glob("*") for folder in name.iterdir()]:
            if folder not in needed and folder not in self._held:
                shutil.rmtree(folder, ignore_errors=True)
        for name in self._root.glob("*"):
            if not any(name.iterdir()):
                name.rmdir()


def _decoded(text: str) -> bytes:
    try:
        return b"".join(
            binascii.a2b_base64(text[start : start + _DECODED_AT_ONCE], strict_mode=True)
            for start in range(0, len(text), _DECODED_AT_ONCE)
        )
    except (binascii.Error, ValueError) as error:
        raise invalid_parameter(COULD_NOT_UNZIP) from error
