"""Attempts of invocations: where each one is between its acceptance and its end, with its times and its figures.

    request    queued --> running --> succeeded, failed
                     `--> throttled
    event      queued --> running --> succeeded
                 |          `-------> failed, given_up     a failed attempt is followed by another one, which waits
               waiting, throttled --> running
                     `--------------> given_up, dropped

An attempt is a record of its own; a throttled one has not run yet, so it stays the same attempt.
Attempts in progress are always kept, ended ones up to a number and a size. Payloads and answers are kept as bytes and
become text only when somebody asks, and nothing is reported while nobody listens, so an invocation pays microseconds.
"""

import itertools
import time
from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec

from harness.gateway.answers import Answer
from harness.gateway.logs.report_lines import Report
from harness.gateway.payloads import error_object

if TYPE_CHECKING:
    from collections.abc import Callable

AttemptState = Literal["queued", "running", "waiting", "throttled", "succeeded", "failed", "given_up", "dropped"]
InvocationKind = Literal["event", "request"]
# Ended attempts are kept with their payloads and answers: at most so many, and so many bytes of these.
KEPT, KEPT_BYTES = 1_000, 8 * 1_048_576
LONGEST_ANSWER_BYTES = 100_000
_LONGEST_MESSAGE = 1_000
# Upper bounds of the histogram of durations, seconds; a last bin takes what is longer.
DURATION_BOUNDS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
)


class InvocationRecord(msgspec.Struct, tag="invocation", kw_only=True):
    """One attempt of an invocation. Times are seconds since the epoch, None as long as they are unknown.

    Attributes:
        number: Counts the attempts of all functions.
        function: The function's name.
        version: The version that runs; empty before the attempt has begun.
        request_id: Its request id; a retried event keeps it.
        attempt: Which attempt of this event it is, from 1; a throttled attempt has not run and does not count.
        delivery: Which delivery of the event it belongs to, from 1: Lambda may deliver an event more than once.
        kind: Whether it is an asynchronous event, or somebody waits for the answer.
        state: Where it is. A `failed` attempt of an event is followed by another one; the last one is `given_up`.
        environment: The name of the environment that runs it; empty before.
        cold: Whether that environment was started for it.
        queued_at: When it was accepted or, for a further attempt, when the one before it had failed.
        started_at: When it began; the start of its environment follows.
        ended_at: When it ended.
        init_ms: How long the initialisation of its environment took; None if the environment was warm.
        duration_ms: Its duration.
        billed_ms: The duration that AWS would bill.
        memory_mb: The function's memory size.
        used_mb: The most memory that the environment has used.
        error: The type of its error; empty if there is none.
        error_message: The error's message.
        due_at: When the next attempt begins, if the event waits for one.
        payload: The event. The feed leaves it out.
        answer: The first 100 KB of the answer. The feed leaves it out.
    """

    number: int = 0
    function: str
    version: str = ""
    request_id: str
    attempt: int = 1
    delivery: int = 1
    kind: InvocationKind = "request"
    state: AttemptState = "queued"
    environment: str = ""
    cold: bool = False
    queued_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    init_ms: float | None = None
    duration_ms: float = 0.0
    billed_ms: int = 0
    memory_mb: int = 0
    used_mb: int = 0
    error: str = ""
    error_message: str = ""
    due_at: float | None = None
    payload: str = ""
    answer: str = ""

    @property
    def ended(self) -> bool:
        """Return whether the attempt has ended."""
        return self.ended_at is not None


class AttemptFigures:
    """What has become of one function's attempts since the gateway started.

    Attributes:
        invocations: Attempts that have run to their end.
        errors: Those that failed.
        throttles: How often one was refused, because no concurrency was left.
        cold_starts: Those that an environment was started for.
        durations: How many took as long as each bin of `DURATION_BOUNDS_S`, and longer than all of them.
        seconds: Their durations, added.
    """

    def __init__(self) -> None:
        self.invocations = self.errors = self.throttles = self.cold_starts = 0
        self.durations = [0] * (len(DURATION_BOUNDS_S) + 1)
        self.seconds = 0.0


class TrackedAttempt:
    """An attempt whose record is kept up to date.

    Args:
        book: Keeps it.
        record: Its record, without payload and answer.
        payload: The event.
    """

    __slots__ = ("_book", "answer", "payload", "record")

    def __init__(self, book: "AttemptBook", record: InvocationRecord, payload: bytes) -> None:
        self._book, self.record = book, record
        self.payload, self.answer = payload, b""

    @property
    def size(self) -> int:
        """Return the bytes of its payload and its answer."""
        return len(self.payload) + len(self.answer)

    def begin(self, version: str) -> None:
        """Record that it has its concurrency; its environment may have to start first."""
        record = self.record
        record.state, record.version, record.started_at, record.due_at = "running", version, time.time(), None
        self._book.changed(record)

    def enter(self, environment: str, *, cold: bool) -> None:
        """Record which environment runs it, and whether that was started for it."""
        record = self.record
        record.environment, record.cold = environment, cold
        if cold:
            self._book.figures_of(record.function).cold_starts += 1
        self._book.changed(record)

    def finish(self, answer: Answer, report: Report | None) -> None:
        """Record its answer; nothing changes if it has ended.

        Args:
            answer: The answer, or the error.
            report: Its figures; None if its environment failed.
        """
        record, figures = self.record, self._book.figures_of(self.record.function)
        if record.ended:
            return
        if report is not None:
            record.init_ms, record.duration_ms, record.billed_ms = report.init_ms, report.duration_ms, report.billed_ms
            record.memory_mb, record.used_mb = report.memory_mb, report.used_mb
        self.answer = answer.payload[:LONGEST_ANSWER_BYTES]
        if answer.error is not None:
            record.error = answer.error_type
            record.error_message = str((error_object(answer.payload) or {}).get("errorMessage", ""))[:_LONGEST_MESSAGE]
            figures.errors += 1
        figures.invocations += 1
        seconds = record.duration_ms / 1e3
        figures.seconds += seconds
        figures.durations[bisect_left(DURATION_BOUNDS_S, seconds)] += 1
        self._end("failed" if answer.error is not None else "succeeded")

    def throttle(self, error: str) -> None:
        """Record that no concurrency was left, and that nobody will try again."""
        self.record.error = error
        self._end("throttled")

    def wait(self, seconds: float) -> "TrackedAttempt":
        """Return the attempt by which an event goes on in so many seconds: a further one if this one has failed.

        An attempt that has not run was throttled, and goes on itself.
        """
        record = self.record
        record.due_at = time.time() + seconds
        if not record.ended:
            record.state = "throttled"
        self._book.changed(record)
        if not record.ended:
            return self
        return self._book.open(
            record.function,
            record.request_id,
            "event",
            self.payload,
            attempt=record.attempt + 1,
            delivery=record.delivery,
            due_at=record.due_at,
        )

    def give_up(self, why: str) -> None:
        """Record that no further attempt follows: the retries are used up, or the event has become too old.

        Args:
            why: AWS's word for it, which stands for the error of an attempt that has not run.
        """
        if not self.record.ended:
            self.record.error = why
            self._end("given_up")
            return
        self.record.state = "given_up"
        self._book.changed(self.record)

    def drop(self, error: str, message: str) -> None:
        """Record that it will never run to its end; nothing changes if it has ended."""
        if not self.record.ended:
            self.record.error, self.record.error_message = error, message[:_LONGEST_MESSAGE]
            self._end("dropped")

    def whole(self) -> InvocationRecord:
        """Return the record with its payload and its answer."""
        payload, answer = (content.decode(errors="replace") for content in (self.payload, self.answer))
        return msgspec.structs.replace(self.record, payload=payload, answer=answer)

    def _end(self, state: AttemptState) -> None:
        self.record.state, self.record.ended_at = state, time.time()
        self._book.changed(self.record)
        self._book.close(self)


class AttemptBook:
    """The attempts of all functions.

    Attributes:
        on_change: Called with the record of an attempt, without payload and answer, when its state has changed; None if
            nobody listens.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[InvocationRecord], None] | None = None
        self._figures: dict[str, AttemptFigures] = {}
        self._open: dict[int, TrackedAttempt] = {}
        self._ended: deque[TrackedAttempt] = deque()
        self._bytes = 0
        self._numbers = itertools.count(1)

    def open(
        self,
        function: str,
        request_id: str,
        kind: InvocationKind,
        payload: bytes,
        *,
        attempt: int = 1,
        delivery: int = 1,
        due_at: float | None = None,
    ) -> TrackedAttempt:
        """Record that an invocation was accepted, or that a further attempt of an event waits.

        Args:
            function: The function's name.
            request_id: The request's id.
            kind: Whether it is an event, or somebody waits for the answer.
            payload: The event.
            attempt: Which attempt it is.
            delivery: Which delivery of the event it belongs to.
            due_at: When it begins, seconds since the epoch; None for at once.
        """
        record = InvocationRecord(
            number=next(self._numbers),
            function=function,
            request_id=request_id,
            attempt=attempt,
            delivery=delivery,
            kind=kind,
            state="queued" if due_at is None else "waiting",
            queued_at=time.time(),
            due_at=due_at,
        )
        tracked = self._open[record.number] = TrackedAttempt(self, record, payload)
        self.changed(record)
        return tracked

    def changed(self, record: InvocationRecord) -> None:
        """Report a record that has changed."""
        if self.on_change is not None:
            self.on_change(record)

    def close(self, tracked: TrackedAttempt) -> None:
        """Keep an attempt that has ended, for as long as there is room."""
        self._open.pop(tracked.record.number, None)
        self._ended.append(tracked)
        self._bytes += tracked.size
        while len(self._ended) > KEPT or (self._bytes > KEPT_BYTES and len(self._ended) > 1):
            self._bytes -= self._ended.popleft().size

    def figures_of(self, function: str) -> AttemptFigures:
        """Return the figures of a function."""
        figures = self._figures.get(function)
        if figures is None:
            figures = self._figures[function] = AttemptFigures()
        return figures

    def refuse(self, function: str) -> None:
        """Count an attempt that was refused, because no concurrency was left."""
        self.figures_of(function).throttles += 1

    def figures(self) -> dict[str, AttemptFigures]:
        """Return the figures of all functions that were invoked."""
        return dict(self._figures)

    def in_progress(self) -> list[TrackedAttempt]:
        """Return the attempts that have not ended."""
        return list(self._open.values())

    def running_in(self, environment: str) -> TrackedAttempt | None:
        """Return the attempt that an environment runs; None if it runs none."""
        return next((one for one in self._open.values() if one.record.environment == environment), None)

    def kept(self, since: int = 0) -> list[TrackedAttempt]:
        """Return the attempts that are kept and have a higher number than this, the oldest first."""
        found = [one for one in (*self._ended, *self._open.values()) if one.record.number > since]
        return sorted(found, key=lambda one: one.record.number)

    def find(self, number: int) -> TrackedAttempt | None:
        """Return the attempt with a number, or None if it is not kept."""
        return self._open.get(number) or next((one for one in self._ended if one.record.number == number), None)

    def waiting(self) -> dict[str, int]:
        """Return how many attempts of each function wait: queued, throttled, or for a retry."""
        counts: dict[str, int] = {}
        for tracked in self._open.values():
            if tracked.record.state != "running":
                counts[tracked.record.function] = counts.get(tracked.record.function, 0) + 1
        return counts
