"""One command at a time starts, stops or cleans up the shared stack."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError


@contextmanager
def shared_stack_lock(state_dir: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock; the kernel gives it back when this process dies.

    Args:
        state_dir: The project's `.harness` folder, made when it is not there.
        wait: Whether to wait for another command that holds it.

    Yields:
        Whether the lock is held; always True with `wait`.
    """
    try:
        state_dir.mkdir(exist_ok=True)
        file = (state_dir / "lock").open("ab")
    except PermissionError as error:
        raise HarnessError(
            f"cannot write to {state_dir}", remedy="run in a clone of your own, or mend the folder's owner"
        ) from error
    with file:
        yield _acquire(file.fileno(), wait=wait)


def _acquire(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
