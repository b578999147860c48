"""Folders of the user's cache that are made once, whoever needs them first, and appear whole or not at all."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.system.disk import writing_into, writing_into_cache
from harness.system.private_files import private_folder


@contextmanager
def made_once(folder: Path, is_made: Callable[[], bool], log: Callable[[str], None]) -> Iterator[Path | None]:
    """Provide a folder to fill, under a lock; it becomes `folder` after the block. Provide None if that exists.

    Args:
        folder: The final folder, in a folder of its kind below the cache.
        is_made: Whether it is complete and of use.
        log: Called if another process is making it.

    Raises:
        HarnessError: The cache cannot be written to.
    """
    if is_made():
        yield None
        return
    kind = folder.parent
    with writing_into_cache(kind.parent):
        private_folder(kind.parent)
        kind.mkdir(exist_ok=True)
        lock = (kind / f".{folder.name}.lock").open("ab")
    with lock:
        # The kernel releases the lock if this process dies.
        _acquire(lock.fileno(), folder, log)
        if is_made():
            yield None
            return
        _remove_leftovers(folder)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=kind))
        try:
            with writing_into(kind):
                yield partial
                partial.chmod(0o755)
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _acquire(descriptor: int, folder: Path, log: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log(f"waiting for another command that makes {folder.name}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left, and the folder itself if it is of no use; nobody else makes it now."""
    for path in (*folder.parent.glob(f".{folder.name}.*"), folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
