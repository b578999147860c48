"""Runs under way: which invocations and lines are theirs, and a view of each, made when somebody looks.

A run is known from the event of its coordinator. Its workers' invocations are known from `invoked.json`, or from the
run that a line of theirs names; what they printed before waits until then.
Following costs little: lines are only sorted, and the recorder reads them when a view is asked for.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from harness.gateway.attempts import InvocationRecord
from harness.insight.recorder import RunRecorder
from harness.insight.view import RunView

# The lines of a run that the page can show; a run's recorder sees all of them.
MOST_LINES = 100_000
# Lines and records of invocations that no run has claimed yet.
MOST_UNCLAIMED = 5_000
# Browsers are told of a run at most so often, and its views take at most this share of one core's time.
SOONEST_S, SHARE = 1.0, 0.02
# Records of a run's folder that a view is made of.
_RECORD = re.compile(r"[a-z]+\.json|(workers|telemetry|failed|links)/[^/]+\.json")


class PageLine(msgspec.Struct):
    """One event of a log.

    Attributes:
        at: When it was read, seconds since the epoch.
        function: The function's name.
        request_id: The invocation; empty if none was there yet.
        rank: The rank that the invocation runs; None for others.
        run_id: The run that the invocation works for; None for others.
        text: The line, or the lines of one event.
    """

    at: float
    function: str
    request_id: str
    rank: int | None
    run_id: str | None
    text: str


class _Named(msgspec.Struct):
    """What a line of the training library says about its writer."""

    run_id: str
    rank: int
    next_request_id: str = ""


_NAMED = msgspec.json.Decoder(_Named)


class LiveRun:
    """One run under way.

    Attributes:
        run_id: The run.
        bucket: The bucket that holds its folder; empty if unknown.
        started_at: When its coordinator was invoked, seconds since the epoch.
        job: Its coordinator's event; empty if unknown.
        lines: Its newest lines.
        ranks: The ranks of its invocations, by request id; None for the coordinator.
        records: Its invocations' records, by number.
        read: The names of the objects that were read of its folder.
        changed: Whether its view may differ from the last one.
        over: Whether its stack has gone.
        stale_folder: Whether its folder may hold what was not read yet.
        caught_up: Whether what it printed before the page followed it was asked for.
        last: Its last view; None before the first.
    """

    def __init__(self, run_id: str, started_at: float) -> None:
        self.run_id, self.started_at, self.bucket = run_id, started_at, ""
        self.job: dict[str, Any] = {}
        self.lines: deque[PageLine] = deque(maxlen=MOST_LINES)
        self.ranks: dict[str, int | None] = {}
        self.records: dict[int, InvocationRecord] = {}
        self.read: set[str] = set()
        self.changed = True
        self.over = False
        self.last: RunView | None = None
        self.stale_folder = self.caught_up = False
        self._recorder = RunRecorder(run_id)
        self._news: list[PageLine | InvocationRecord | tuple[str, bytes]] = []
        self._making = asyncio.Lock()
        self._cost_s = 0.0
        self._told_at = 0.0

    def add_line(self, line: PageLine) -> None:
        """Take one of its lines."""
        line.run_id, line.rank = self.run_id, self.ranks.get(line.request_id)
        self.lines.append(line)
        self._add(line)

    def add_invocation(self, record: InvocationRecord) -> None:
        """Take the newest state of one of its invocations."""
        self.records[record.number] = record
        self.stale_folder = self.stale_folder or record.ended
        self._add(record)

    def add_object(self, name: str, content: bytes) -> None:
        """Take an object of its folder."""
        self.read.add(name)
        self._add((name, content))

    def unread(self, names: Iterable[str]) -> list[str]:
        """Return those objects of its folder that a view needs and that were not read yet."""
        return [name for name in names if name not in self.read and _RECORD.fullmatch(name)]

    @property
    def in_progress(self) -> bool:
        """Return whether one of its invocations has not ended."""
        return not self.over and any(not record.ended for record in self.records.values())

    @property
    def unseen(self) -> bool:
        """Return whether something was seen of it since its last view."""
        return self.last is None or bool(self._news)

    def is_due(self) -> bool:
        """Return whether browsers should hear that it has changed; then it is not due for a while."""
        now = time.monotonic()
        if not self.changed or now - self._told_at < max(SOONEST_S, self._cost_s / SHARE):
            return False
        self.changed, self._told_at = False, now
        return True

    async def view(self, window: tuple[float, float] | None = None) -> RunView:
        """Return its view.

        Args:
            window: The seconds of the run to look at closely; None for the whole run.
        """
        async with self._making:
            news, self._news = self._news, []
            view = await asyncio.to_thread(self._view, news, window)
            if self.over and view.status == "running":
                view = msgspec.structs.replace(
                    view, status="unfinished", cause=view.cause or "its stack ended before it did"
                )
            if window is None:
                self.last = view
            return view

    def forget(self) -> None:
        """Drop what was seen of it, because its records are kept."""
        self.lines.clear()
        self.records.clear()
        self.last = None
        self._news, self._recorder = [], RunRecorder(self.run_id)

    def _view(
        self, news: "list[PageLine | InvocationRecord | tuple[str, bytes]]", window: tuple[float, float] | None
    ) -> RunView:
        began = time.thread_time()
        for one in news:
            match one:
                case PageLine():
                    self._recorder.add_line(one.at, one.request_id, one.text)
                case InvocationRecord():
                    self._recorder.add_invocation(msgspec.to_builtins(one))
                case (name, content):
                    self._recorder.add_record(name, content)
        view = self._recorder.view(None if self.over else time.time(), window=window)
        self._cost_s = time.thread_time() - began
        return view

    def _add(self, one: "PageLine | InvocationRecord | tuple[str, bytes]") -> None:
        self._news.append(one)
        self.changed = True


class LiveRuns:
    """The runs of one stack, as far as they were seen."""

    def __init__(self) -> None:
        self.runs: dict[str, LiveRun] = {}
        self._owners: dict[str, LiveRun] = {}
        self._unclaimed: dict[str, list[PageLine | InvocationRecord]] = {}
        self._n_unclaimed = 0

    def begin(self, run_id: str, started_at: float, request_id: str, bucket: str, job: dict[str, Any]) -> LiveRun:
        """Return a run whose coordinator was invoked; a run keeps its first beginning.

        Args:
            run_id: The run.
            started_at: When it was invoked, seconds since the epoch.
            request_id: The coordinator's invocation.
            bucket: The bucket that holds the run's folder.
            job: The coordinator's event.
        """
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = LiveRun(run_id, started_at)
        run.bucket, run.job = run.bucket or bucket, run.job or job
        self.claim(run, request_id, None)
        return run

    def claim(self, run: LiveRun, request_id: str, rank: int | None) -> None:
        """Ascribe an invocation to a run, with everything that was seen of it."""
        if request_id in run.ranks:
            return
        run.ranks[request_id], self._owners[request_id] = rank, run
        seen = self._unclaimed.pop(request_id, [])
        self._n_unclaimed -= len(seen)
        for one in seen:
            run.add_line(one) if isinstance(one, PageLine) else run.add_invocation(one)

    def add_invocation(self, record: InvocationRecord) -> LiveRun | None:
        """Take the newest state of an invocation; return its run, if it has one."""
        run = self._owners.get(record.request_id)
        if run is None:
            self._hold(record.request_id, record)
        else:
            run.add_invocation(record)
        return run

    def add_line(self, line: PageLine) -> LiveRun | None:
        """Take a line; return its run, if it has one."""
        run = self._owners.get(line.request_id)
        if line.text.startswith("{") and '"run_id"' in line.text:
            run = self._name(line, run)
        if run is not None:
            run.add_line(line)
        elif line.request_id:
            self._hold(line.request_id, line)
        return run

    def end(self) -> None:
        """Take all runs as they are, because their stack has gone."""
        self._unclaimed.clear()
        for run in self.runs.values():
            run.over = run.changed = True

    def _name(self, line: PageLine, known: LiveRun | None) -> LiveRun | None:
        try:
            named = _NAMED.decode(line.text)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            return known  # a function may print anything
        run = known or self.runs.get(named.run_id)
        if run is None:
            run = self.runs[named.run_id] = LiveRun(named.run_id, line.at)
        if run.run_id == named.run_id:
            for request_id in filter(None, (line.request_id, named.next_request_id)):
                self.claim(run, request_id, named.rank)
        return run

    def _hold(self, request_id: str, one: PageLine | InvocationRecord) -> None:
        self._unclaimed.setdefault(request_id, []).append(one)
        self._n_unclaimed += 1
        while self._n_unclaimed > MOST_UNCLAIMED:
            oldest = next(iter(self._unclaimed))
            self._n_unclaimed -= len(self._unclaimed.pop(oldest))


def event_of_run(payload: bytes | str) -> dict[str, Any]:
    """Return a training function's event; empty if it is no object."""
    try:
        event = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
