"""The view and the log of one run: of a run under way from what was followed, of a kept one from its folder."""

import asyncio
import functools
import threading
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import msgspec

from harness.history.folder import KeptFolder, kept_runs
from harness.history.records import LOG, RUN, LoggedLine
from harness.insight.folder import read_records
from harness.insight.recorder import RunRecorder
from harness.insight.view import RunView
from harness.page.board import PageBoard
from harness.page.kept import is_kept
from harness.page.live_runs import PageLine

# A run's recorder is kept for the windows that are looked at next.
RECORDERS = 4
MOST_LINES = 5_000
COORDINATOR_RANK = "coordinator"

Window = tuple[float, float]
# A recorder remembers what it has drawn, and a browser asks for a run's view and its log at the same time.
_LOOKING = threading.Lock()


async def view_of(board: PageBoard, run_id: str, window: Window | None) -> RunView | None:
    """Return a run's view; None if there is no such run.

    Args:
        board: What the page knows.
        run_id: The run.
        window: The seconds of the run to look at closely; None for the whole run.
    """
    run = board.live_run(run_id)
    if run is not None:
        await board.refresh(run)
        return await run.view(window)
    if not is_kept(board.root, run_id):
        return None
    return await asyncio.to_thread(_kept_view, board.root / run_id, window)


async def log_of(board: PageBoard, run_id: str, rank: str, text: str, since: float) -> list[PageLine] | None:
    """Return the newest lines of a run, the oldest first; None if there is no such run.

    Args:
        board: What the page knows.
        run_id: The run.
        rank: Lines of this rank, or of the `coordinator`; empty for all.
        text: Lines that contain this text, whatever its case; empty for all.
        since: Lines later than this, seconds since the epoch.
    """
    run = board.live_run(run_id)
    if run is not None:
        lines = list(run.lines)
    elif is_kept(board.root, run_id):
        lines = await asyncio.to_thread(_kept_lines, board.root / run_id)
    else:
        return None
    found = [line for line in lines if line.at > since and _is_of(line, rank) and text.lower() in line.text.lower()]
    return sorted(found, key=lambda line: line.at)[-MOST_LINES:]


def nearest(board: PageBoard, run_id: str) -> list[str]:
    """Return the ids of runs that somebody may have meant."""
    names = [*(run.run_id for run in board.live_runs()), *(folder.run_id for folder in kept_runs(board.root))]
    return [name for name in names if run_id and name.startswith(run_id)][:3] or get_close_matches(run_id, names)


def _kept_view(path: Path, window: Window | None) -> RunView:
    with _LOOKING:
        return _recorder_of(path, (path / RUN).stat().st_mtime_ns).view(window=window)


@functools.lru_cache(maxsize=RECORDERS)
def _recorder_of(path: Path, _changed_ns: int) -> RunRecorder:
    return read_records(KeptFolder(path))


def _kept_lines(path: Path) -> list[PageLine]:
    view = _kept_view(path, None)
    ranks: dict[str, int | None] = {one.request_id: one.rank for one in view.invocations}
    ranks |= {one.request_id: rank.rank for rank in view.ranks for one in rank.attempts if one.request_id}
    return [
        PageLine(one.at, one.function, one.request_id, ranks.get(one.request_id), path.name, one.text)
        for one in _logged(KeptFolder(path).read(LOG) or b"")
    ]


def _logged(content: bytes) -> Iterator[LoggedLine]:
    for line in content.splitlines():
        try:
            yield msgspec.json.decode(line, type=LoggedLine)
        except (msgspec.MsgspecError, RecursionError):
            continue


def _is_of(line: PageLine, rank: str) -> bool:
    if not rank:
        return True
    return line.rank is None if rank == COORDINATOR_RANK else str(line.rank) == rank
