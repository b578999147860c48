"""Errors for folders that cannot be written to: the disk is full or read-only, or the folder is another user's."""

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError
from harness.folders import cache_variable

_FULL = {errno.ENOSPC, errno.EDQUOT}
# With less free space than this, the harness cannot work.
_LEAST_BYTES = 64 << 10


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Within the block, turn an OSError into a HarnessError that names the folder and the problem."""
    try:
        yield
    except OSError as error:
        raise not_writable(folder, error) from error


@contextmanager
def writing_into_cache(folder: Path) -> Iterator[None]:
    """Within the block, turn an OSError into a HarnessError that names the cache and the variable that decides it."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise not_writable(folder, error) from error
        variable = cache_variable()
        raise HarnessError(
            f"cannot write to the cache folder {folder}: {error.strerror}",
            f"{variable} is {os.environ[variable]}" if variable else "",
            "set XDG_CACHE_HOME to a folder that you can write to",
        ) from error


def not_writable(folder: Path, error: OSError) -> HarnessError:
    """Return the error for a folder that cannot be written to, or that holds a file that cannot be written."""
    if error.errno in _FULL:
        return HarnessError(*(full(folder) or _no_room(folder, "no space left, or a quota is used up")))
    owner = _owner_of(folder)
    if error.errno in {errno.EACCES, errno.EPERM} and owner is not None and owner != os.geteuid():
        return HarnessError(
            f"{folder} belongs to another user ({_name_of(owner)})",
            remedy="run the command as that user, or work in a folder of your own",
        )
    remedy = "work in a folder of your own, or in one that you can write to"
    return HarnessError(f"cannot write to {folder}: {error.strerror}", remedy=remedy)


def full(*folders: Path) -> tuple[str, str, str] | None:
    """Return problem, place and remedy if the file system of one of the folders is full; None if all have space."""
    for folder in folders:
        try:
            there = os.statvfs(folder)
        except OSError:
            continue
        if there.f_bavail * there.f_frsize < _LEAST_BYTES:
            return _no_room(folder, "no space left on its file system")
        # A file system without a fixed number of inodes reports 0 of 0.
        if there.f_files and not there.f_favail:
            return _no_room(folder, "no inodes left on its file system")
    return None


def _no_room(folder: Path, what: str) -> tuple[str, str, str]:
    # Name the mount point: a stack's own folder will be gone when the user reads this.
    mounted = next((each for each in (folder, *folder.parents) if each.is_mount()), folder)
    return f"{folder} is full: {what}", "", f"free some space (`df {mounted}`, `df -i {mounted}`), then try again"


def _owner_of(folder: Path) -> int | None:
    for each in (folder, *folder.parents):
        try:
            return each.stat().st_uid
        except OSError:
            continue
    return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
