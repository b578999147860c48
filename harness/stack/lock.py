"""A lock that lets one command at a time start, stop or clean up the shared stack."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.stack.folders import open_state_dir
from harness.system.disk import writing_into


@contextmanager
def shared_stack_lock(
    state_dir: Path, *, wait: bool = True, log: Callable[[str], None] = lambda _line: None
) -> Iterator[bool]:
    """Hold the lock during the block; the kernel releases it if this process dies.

    Args:
        state_dir: The project's `.harness` folder, created if missing.
        wait: Whether to wait while another command holds the lock.
        log: Called with a message if another command holds the lock.

    Yields:
        Whether this command holds the lock; always True with `wait`.

    Raises:
        HarnessError: The folder is not writable, or belongs to another user.
    """
    if not wait and not os.path.lexists(state_dir):
        # No stack is up, and a mere look must not create the folder.
        yield False
        return
    with writing_into(state_dir):
        open_state_dir(state_dir)
        file = (state_dir / "lock").open("ab")
    with file:
        yield _acquire(file.fileno(), log if wait else None)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock of one's own during the block, waiting for whoever holds it.

    Args:
        path: The lock's file, created if missing.
    """
    with path.open("ab") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def _acquire(descriptor: int, log: Callable[[str], None] | None) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if log is None:
            return False
        log("waiting for another command that starts or stops the stack")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True
