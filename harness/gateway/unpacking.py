"""Unpack a deployment package as Lambda does, or refuse it in Lambda's words.

Invariants: nothing is written outside the target folder or through a link, and a refused package leaves nothing
behind. All names are checked before the first one is written, links are created last, and bytes are counted while they
are inflated, whatever the headers claim.
"""

import errno
import io
import logging
import lzma
import os
import shutil
import stat
import struct
import uuid
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path, PurePosixPath

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError, invalid_parameter, no_room, unzipped_too_large
from harness.gateway.linking import link_into
from harness.runtimes.mark import OPT, named_in

logger = logging.getLogger(__name__)

# AWS's message, which is the same for every cause; unless the file is no zip at all, ours follows in brackets.
COULD_NOT_UNZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"

# https://man7.org/linux/man-pages/man7/path_resolution.7.html: the limits of Linux, and so of Lambda.
_NAME_BYTES = 255
_PATH_BYTES = 4096
_TASK_ROOT = "/var/task/"
# Python's functions for trees of folders call themselves once or more for each level, up to 1,000 times.
_MOST_LEVELS = 200

_CHUNK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_NAME_IS_UTF8 = 0x800
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
# Errors of `zipfile` for bytes that are not an archive or a damaged one; bz2 reports damage as OSError.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@unique
class _Kind(Enum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class _Entry:
    info: zipfile.ZipInfo
    path: PurePosixPath
    kind: _Kind
    mode: int


def unpack(package: bytes, folder: Path, cache: Path | None = None) -> None:
    """Unpack into a folder that appears whole or not at all; an existing folder stays as it is.

    Files keep their modes, and links stay links: `lib.so -> lib.so.1`, a program of mode 755.

    Args:
        package: The zip.
        folder: The folder for its content.
        cache: The user's cache, with the libraries that the package's comment may name.

    Raises:
        LambdaApiError: Lambda would not accept the zip, or there is no space for it.
    """
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    try:
        with _opened(package) as archive:
            entries = list(_entries(archive))
            _check_paths(entries)
            _check_sizes(entries)
            if folder.exists():
                return
            partial.mkdir(parents=True)
            _write(archive, entries, partial)
            _link(archive.comment, cache, partial)
        partial.rename(folder)
    except OSError as error:
        _remove(partial)
        if error.errno in _NO_ROOM:
            raise no_room(str(folder.parent)) from error
        if error.errno == errno.ENAMETOOLONG:
            raise _unzip_error("a path is too long") from error
        if not folder.exists():
            raise
        # Another call with the same package was faster.
    except BaseException:
        _remove(partial)
        raise


def _link(comment: bytes, cache: Path | None, folder: Path) -> None:
    try:
        libraries, layers = named_in(comment, cache) if cache is not None else ([], [])
    except LookupError as error:
        raise invalid_parameter(f"The package names what is not in the cache: {error}") from error
    link_into(folder, libraries)
    if layers:
        (folder / OPT).mkdir()
        # The last one wins, as on AWS.
        link_into(folder / OPT, layers[::-1])


def _remove(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    with suppress(OSError):  # it holds other packages of the function
        partial.parent.rmdir()


def _unzip_error(cause: str) -> LambdaApiError:
    return invalid_parameter(f"{COULD_NOT_UNZIP} ({cause})")


def _opened(package: bytes) -> zipfile.ZipFile:
    if not package:
        raise invalid_parameter(EMPTY)
    try:
        archive = zipfile.ZipFile(io.BytesIO(package))
    except zipfile.BadZipFile as error:
        raise invalid_parameter(COULD_NOT_UNZIP) from error
    except _DAMAGED as error:
        raise _unzip_error(str(error) or "it is not a zip") from error
    if not archive.infolist():
        raise invalid_parameter(EMPTY)
    return archive


def _entries(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        name = _name(info)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if "\\" in name or "\0" in name:
            raise _unzip_error(f"{name[:_NAME_BYTES]!r}: names are separated by /, and contain neither \\ nor NUL")
        if name.startswith("/") or ".." in parts:
            raise _unzip_error(f"{name[:_NAME_BYTES]!r} is outside the package")
        path = PurePosixPath(*parts)
        too_long = max((len(part.encode()) for part in parts), default=0) > _NAME_BYTES
        if too_long or len(f"{_TASK_ROOT}{path}".encode()) >= _PATH_BYTES:
            raise _unzip_error(f"{name[:50]!r}... is too long")
        if len(parts) > _MOST_LEVELS:
            raise _unzip_error(f"{name[:50]!r}... is in {len(parts) - 1} folders, of at most {_MOST_LEVELS - 1} here")
        if info.flag_bits & _ENCRYPTED:
            raise _unzip_error(f"{path} is encrypted")
        if info.compress_type not in _METHODS:
            raise _unzip_error(f"{path} is compressed by method {info.compress_type}; use deflate")
        yield _Entry(info, path, *_kind_and_mode(info, path))


def _name(info: zipfile.ZipInfo) -> str:
    """Return the name as it was packed: `zipfile` cuts it at a NUL, and decodes bytes of unknown encoding as CP437."""
    name = info.orig_filename
    if info.flag_bits & _NAME_IS_UTF8:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _kind_and_mode(info: zipfile.ZipInfo, path: PurePosixPath) -> tuple[_Kind, int]:
    # https://libzip.org/specifications/extrafld.txt: the upper half is Unix's st_mode, or zero if it was not packed.
    unix = info.external_attr >> 16
    kind = stat.S_IFMT(unix)
    if info.orig_filename.endswith("/") or kind == stat.S_IFDIR:
        # The owner must be able to fill the folder, and later to remove it.
        return _Kind.FOLDER, stat.S_IMODE(unix) & 0o777 | 0o700 if unix else 0o755
    if kind == stat.S_IFLNK:
        return _Kind.LINK, 0o777
    if kind not in (0, stat.S_IFREG):
        raise _unzip_error(f"{path} is not a file, folder or link")
    return _Kind.FILE, stat.S_IMODE(unix) & 0o777 if unix else 0o644


def _check_paths(entries: list[_Entry]) -> None:
    """Refuse conflicting names: the path of a folder cannot also be a file or a link."""
    kinds: dict[PurePosixPath, _Kind] = {PurePosixPath(): _Kind.FOLDER}
    for entry in entries:
        before = kinds.setdefault(entry.path, entry.kind)
        if before is not entry.kind:
            raise _unzip_error(f"{entry.path} is a {before.value} and a {entry.kind.value}")
        for parent in entry.path.parents:
            if kinds.setdefault(parent, _Kind.FOLDER) is not _Kind.FOLDER:
                raise _unzip_error(f"{parent} is a {kinds[parent].value} and a folder")
    files = [entry.path for entry in entries if entry.kind is not _Kind.FOLDER]
    if len(files) > len(set(files)):
        twice = next(path for path, count in Counter(files).items() if count > 1)
        raise _unzip_error(f"{twice} is contained twice")


def _check_sizes(entries: list[_Entry]) -> None:
    if sum(entry.info.file_size for entry in entries) >= limits.UNZIPPED_BYTES:
        raise unzipped_too_large()


def _write(archive: zipfile.ZipFile, entries: list[_Entry], folder: Path) -> None:
    room = limits.UNZIPPED_BYTES
    for kind in (_Kind.FOLDER, _Kind.FILE, _Kind.LINK):  # links last: nothing is written through one
        for entry in (entry for entry in entries if entry.kind is kind):
            path = folder / entry.path
            (path if kind is _Kind.FOLDER else path.parent).mkdir(parents=True, exist_ok=True)
            if kind is _Kind.FILE:
                room -= _write_file(archive, entry, path, room)
            elif kind is _Kind.LINK:
                path.symlink_to(_target(archive, entry))
    for entry in entries:
        if entry.kind is _Kind.FOLDER:
            (folder / entry.path).chmod(entry.mode)
    # Here a function runs as the user who unpacks the package; on AWS, as another one.
    unreadable = [entry for entry in entries if entry.kind is _Kind.FILE and not entry.mode & stat.S_IROTH]
    if unreadable:
        logger.warning(
            "%s: other users, such as the function on AWS, cannot read %d files; first: %s, mode %03o",
            folder.parent.name, len(unreadable), unreadable[0].path, unreadable[0].mode,
        )  # fmt: skip


def _write_file(archive: zipfile.ZipFile, entry: _Entry, path: Path, room: int) -> int:
    """Write one file and return its size."""
    size = 0
    with path.open("xb") as file:
        for chunk in _inflated(archive, entry):
            size += len(chunk)
            if size >= room:
                raise unzipped_too_large()
            file.write(chunk)
        os.fchmod(file.fileno(), entry.mode)
    return size


def _target(archive: zipfile.ZipFile, entry: _Entry) -> bytes:
    target = b"".join(_inflated(archive, entry)) if entry.info.file_size < _PATH_BYTES else b""
    if not target or b"\0" in target:
        raise _unzip_error(f"{entry.path} is a link without a valid target")
    return target


def _inflated(archive: zipfile.ZipFile, entry: _Entry) -> Iterator[bytes]:
    try:
        with archive.open(entry.info) as source:
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk
    except _DAMAGED as error:
        raise _unzip_error(f"{entry.path}: {error}") from error
