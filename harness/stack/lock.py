"""One command at a time starts, stops or cleans up the shared stack."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError
from harness.stack.private import private_folder


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
    """
    try:
        private_folder(state_dir)
        file = (state_dir / "lock").open("ab")
    except PermissionError as error:
        raise HarnessError(
            f"cannot write to {state_dir}", remedy="run in a clone of your own, or mend the folder's owner"
        ) from error
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
