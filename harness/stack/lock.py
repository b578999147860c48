"""One command at a time starts, stops or cleans up the shared stack."""

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
    """Holds the lock; the kernel gives it back when this process dies.

    Args:
        state_dir: The project's `.harness` folder, made when it is not there.
        wait: Whether to wait for another command that holds it.
        log: Called with a line when another command holds it.

    Yields:
        Whether the lock is held; always True with `wait`.

    Raises:
        HarnessError: The folder cannot be written to, or is another user's.
    """
    if not wait and not os.path.lexists(state_dir):
        # Nothing is up, and looking for it leaves no trace.
        yield False
        return
    with writing_into(state_dir):
        open_state_dir(state_dir)
        file = (state_dir / "lock").open("ab")
    with file:
        yield _acquire(file.fileno(), log if wait else None)


def _acquire(descriptor: int, log: Callable[[str], None] | None) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if log is None:
            return False
        log("waiting for another command that starts or stops the stack")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True
