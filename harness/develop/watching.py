"""The saves of a user: which of a project's files have changed.

Some folders are watched with everything below them, others alone: an environment or a repository beside a function's
code has thousands of folders that are never packaged.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import NamedTuple

from watchfiles import DefaultFilter, awatch

from harness.errors import HarnessError
from harness.runs.packing import is_packed

# An editor writes a file in several steps, and a tool writes several files: they are one save if they follow this soon
# on each other, up to the longest time.
STEP_MS, LONGEST_SAVE_MS = 30, 300
# How often to look whether a watched folder was replaced by another of its name, as `git checkout` may do.
LOOK_EVERY_MS = 1000


class Folders(NamedTuple):
    """Folders to watch.

    Attributes:
        deep: With everything below them.
        flat: Alone.
    """

    deep: frozenset[Path]
    flat: frozenset[Path]


def folders_to_watch(inputs: Collection[Path], settings_file: Path) -> Folders:
    """Return the folders that have these files in them.

    Args:
        inputs: Folders and files that functions are built from; those that do not exist are left out.
        settings_file: The project's settings, in a folder that is watched alone.
    """
    deep, flat = set[Path](), {settings_file.parent}
    for path in inputs:
        # `Path.is_file` would raise if a folder may not be searched.
        if os.path.isfile(path):  # noqa: PTH113
            flat.add(path.parent)
        elif os.path.isdir(path):  # noqa: PTH112
            children = [child for child in _children(path) if os.path.isdir(child)]  # noqa: PTH112
            packed = [child for child in children if _is_packed(child)]
            if len(packed) == len(children):
                deep.add(path)
            else:
                flat.add(path)
                deep.update(packed)
    return Folders(frozenset(deep), frozenset(flat))


async def saves(inputs: Callable[[], Collection[Path]], settings_file: Path) -> AsyncGenerator[set[Path], None]:
    """Yield the files of each save; first, as soon as saves are noticed, an empty set.

    When other folders have to be watched, these and the settings are yielded as changed: saves may have been missed.

    Args:
        inputs: Returns the folders and files that functions are built from; called after each save.
        settings_file: The project's settings.

    Raises:
        HarnessError: The system does not allow to watch so many folders.
    """
    missed: set[Path] = set()
    while True:
        current = inputs()
        folders = folders_to_watch(current, settings_file)
        identities = _identities(current, folders)
        queue: asyncio.Queue[set[Path]] = asyncio.Queue()
        tasks = [
            asyncio.create_task(_watch(paths, queue, recursive=recursive))
            for paths, recursive in ((folders.deep, True), (folders.flat, False))
            if paths
        ]
        try:
            # The tasks begin to watch when they run for the first time.
            await asyncio.sleep(0)
            yield missed
            while True:
                save = await _next_save(queue, tasks)
                if save is None:
                    break
                if changed := {path for path in save if _counts(path, current, settings_file)}:
                    yield changed
                if save & (folders.deep | folders.flat):
                    break  # one of them was removed, and perhaps made again
                if (now := inputs()) != current or _identities(now, folders_to_watch(now, settings_file)) != identities:
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        missed = {*inputs(), settings_file}


async def _watch(paths: Iterable[Path], queue: "asyncio.Queue[set[Path]]", *, recursive: bool) -> None:
    watching = awatch(
        *paths,
        watch_filter=DefaultFilter(ignore_dirs=()),  # leaves out the temporary files of editors
        debounce=LONGEST_SAVE_MS,
        step=STEP_MS,
        rust_timeout=LOOK_EVERY_MS,
        yield_on_timeout=True,
        recursive=recursive,
        ignore_permission_denied=True,
    )
    async with aclosing(watching) as changes:
        async for batch in changes:
            queue.put_nowait({Path(path) for _, path in batch})


async def _next_save(queue: "asyncio.Queue[set[Path]]", tasks: "list[asyncio.Task[None]]") -> set[Path] | None:
    """Return the files of the next save, or an empty set after a while; None if a watched folder is gone.

    Raises:
        HarnessError: The folders can no longer be watched.
    """
    waiting = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in tasks:
        if task.done() and (error := task.exception()) is not None:
            if isinstance(error, FileNotFoundError):
                return None
            raise HarnessError(
                f"the project's folders cannot be watched: {error}",
                remedy="if the system's limit is reached, raise fs.inotify.max_user_watches, or set "
                "WATCHFILES_FORCE_POLLING=1",
            ) from error
    changed = waiting.result() if waiting.done() and not waiting.cancelled() else set()
    with suppress(asyncio.QueueEmpty):
        while True:
            changed = changed | queue.get_nowait()
    return changed


def _counts(path: Path, inputs: Collection[Path], settings_file: Path) -> bool:
    """Return whether a changed file is packaged, or is the project's settings."""
    if path == settings_file:
        return True
    return any(path.is_relative_to(one) and _packed_below(one, path.relative_to(one)) for one in inputs)


def _packed_below(folder: Path, inner: Path) -> bool:
    """Return whether a path within a folder, and the folders on the way to it, are packed."""
    return all(_is_packed(folder.joinpath(*inner.parts[: end + 1])) for end in range(len(inner.parts)))


def _is_packed(path: Path) -> bool:
    """Return whether a path is packed; one that cannot be looked into is not watched, and whoever packs reports it."""
    try:
        return is_packed(path)
    except OSError:
        return False


def _identities(inputs: Collection[Path], folders: Folders) -> dict[Path, tuple[int, int]]:
    """Return which folders there are: a folder that was removed and made again is another one."""
    found = {}
    for path in {*inputs, *folders.deep, *folders.flat}:
        with suppress(OSError):
            status = path.stat()
            # A file that is saved by renaming is another one each time.
            found[path] = (0, 0) if stat.S_ISREG(status.st_mode) else (status.st_dev, status.st_ino)
    return found


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
