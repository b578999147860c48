"""A run under a debugger: its session, and the ranks that a debugger holds, among the progress of all ranks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.gateway.debug_records import DebugChange, DebugRequest, DebugTarget
from harness.runs.debugging import LIFTED_H, DebugSession, attach_text, debug_session, package_paths
from harness.runs.declared import declared
from harness.runs.progress import Progress, Watcher
from harness.settings import Settings
from harness.stack.state import StackState
from harness.system.ports import LOOPBACK

Note = Callable[[str], None]


class DebuggedRanks:
    """The ranks that debuggers hold.

    Args:
        function: The worker.
        settings: The project's settings.
        targets: The ranks.
        note: Called with lines for the user.
    """

    def __init__(self, function: str, settings: Settings, targets: tuple[DebugTarget, ...], note: Note) -> None:
        self._function, self._settings, self._note = function, settings, note
        self._targets = {target.port: target for target in targets}
        self._waits: dict[int, str] = {}
        self._seen: set[int] = set()
        self._held: set[int] = set()
        self._all_ended = threading.Event()

    def follow(self, session: DebugSession) -> None:
        """Take in a session's changes until it ends; this runs in a thread."""
        while (change := session.changes.get()) is not None:
            self._take(change)
        self._all_ended.set()

    def wait_until_ended(self) -> None:
        """Wait until no debugger holds a rank any more."""
        self._all_ended.wait()

    def watching(self, watch: Watcher) -> Watcher:
        """Return a watcher that also shows which ranks wait for a debugger, or are in one."""

        def watch_all(progress: Progress) -> None:
            for rank, reason in dict(self._waits).items():
                progress.ranks[rank].waits_for = reason
            watch(progress)

        return watch_all

    def _take(self, change: DebugChange) -> None:
        target, rank = self._targets[change.port], change.rank
        assert rank is not None  # noqa: S101 - the targets of a run are ranks
        if change.state == "starting":
            self._held.add(rank)
            self._all_ended.clear()
        elif change.state == "waiting":
            self._seen.add(rank)
            self._waits[rank] = f"a debugger to connect to {LOOPBACK}:{change.port}"
            self._note(attach_text(self._function, self._settings, target))
        elif change.state == "attached":
            self._waits[rank] = f"the debugger at {LOOPBACK}:{change.port}"
            self._note(f"debugpy: a debugger is attached to rank {rank}")
        elif change.state == "ended":
            self._waits.pop(rank, None)
            self._held.discard(rank)
            if not self._held:
                self._all_ended.set()
            if rank not in self._seen:
                self._note(f"rank {rank} ran without a debugger: {change.detail or NOT_STARTED}")


NOT_STARTED = "its image does not run Python with Lambda's runtime client"


@contextmanager
def debugged(
    stack: StackState | None,
    run_id: str,
    function: str,
    settings: Settings,
    targets: tuple[DebugTarget, ...],
    note: Note,
) -> Iterator[DebuggedRanks | None]:
    """Debug ranks of a run for the length of the block; without targets, do nothing and yield None.

    Args:
        stack: The stack.
        run_id: The run.
        function: The worker.
        settings: The project's settings.
        targets: The ranks.
        note: Called with lines for the user.

    Raises:
        HarnessError: The gateway does not answer.
    """
    if not targets or stack is None:
        yield None
        return
    request = DebugRequest(function, targets, run_id, paths=package_paths(declared(settings, function)))
    ranks = DebuggedRanks(function, settings, targets, note)
    with debug_session(stack, request) as session:
        follower = threading.Thread(target=ranks.follow, args=(session,), name="debugged ranks", daemon=True)
        follower.start()
        note(f"time limits are lifted for this run, to {LIFTED_H} h: of functions, of rounds and of joining")
        try:
            yield ranks
        finally:
            session.wake()
            follower.join()
