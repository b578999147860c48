"""A stack's folder for its functions' temporary files: short, private, and identified by the stack's label.

Each environment has its own folder in it, which is its `TMPDIR` and `HOME` and RIE's working folder.
The path of a Unix socket has at most 107 characters; `multiprocessing` needs 45 of them below `TMPDIR`.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError
from harness.system.process_labels import end_stack, has_services, label_of_stack, stack_number

# On AWS this is /tmp itself, which belongs to one environment there.
_BASES = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - the folders in it are private


def make_scratch(stack: int) -> Path:
    """Create the folder, which only this user may enter.

    Args:
        stack: The stack's label.

    Raises:
        HarnessError: The folder cannot be created.
    """
    failures = []
    # Prefer a place that allows execution, for what functions put into their /tmp.
    for folder in sorted(_places(stack), key=_is_noexec):
        try:
            folder.mkdir(mode=0o700, exist_ok=_is_own(folder))
        except OSError as error:
            failures.append(f"{folder}: {error.strerror}")
        else:
            return folder
    raise HarnessError(
        "cannot create a folder for the functions' temporary files", "; ".join(failures), "free some space in /tmp"
    )


def remove_scratch(stack: int) -> None:
    """Remove the folder of a stack, if there is one."""
    for folder in _places(stack):
        if _is_own(folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_folder(stack: int) -> Iterator[Path]:
    """Provide the folder within the block."""
    folder = make_scratch(stack)
    try:
        yield folder
    finally:
        remove_scratch(stack)


def clean_up_scratch() -> None:
    """Remove the folders of stacks that were killed, and end the remaining processes of their environments."""
    for base in _BASES:
        for folder in base.glob("lambda-" + "[0-9a-f]" * 8):
            stack = label_of_stack(int(folder.name.rpartition("-")[2], 16))
            if _is_own(folder) and not has_services(stack):
                end_stack(stack)
                remove_scratch(stack)


def _places(stack: int) -> list[Path]:
    return [base / f"lambda-{stack_number(stack):08x}" for base in _BASES]


def _is_noexec(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder.parent).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


def _is_own(folder: Path) -> bool:
    """Return whether this is a folder, not a link, that only this user may enter."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
