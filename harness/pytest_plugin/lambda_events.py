"""Asynchronous invocations: what was queued, tried again, given up; and the clock by which they wait."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from harness.errors import HarnessError
from harness.gateway.events.journal import ENDED, EventEntry, EventState
from harness.gateway.testing import JournalReading

if TYPE_CHECKING:
    from harness.pytest_plugin.control import Control

AwaitedState = Literal[EventState, "retried", "ended"]
# Longer than the slowest start of an environment on a busy machine.
WITHIN_S = 30.0
# How long the attempts may take that become due when the clock is set forward.
ATTEMPTS_WITHIN_S = 60.0
_POLL_S = 10.0
_MOST_SHOWN = 10


class EventsMissing(AssertionError):
    """Fewer events than expected have come so far in time."""


@dataclass(frozen=True)
class LambdaAttempt:
    """One attempt to run an event.

    Attributes:
        at: When it began, seconds of the retry clock since the test began.
        error: The type of its error; empty if it succeeded or still runs.
        message: The error's message.
    """

    at: float
    error: str = ""
    message: str = ""


@dataclass(frozen=True)
class LambdaEvent:
    """One asynchronous invocation, as it was when the test looked.

    Attributes:
        function: The function's name.
        qualifier: The version or the alias that was invoked; empty if none was given.
        request_id: The request's id.
        payload: The decoded payload.
        state: `queued`, `running`, `waiting` (for a retry), `throttled`, `succeeded`, `given_up` (its retries are used
            up, or it has become too old), or `dropped` (its function is gone).
        attempts: How it was run so far.
        throttled: How often it was refused because no concurrency was left.
        due: When it is tried again, seconds of the retry clock since the test began; None if it does not wait.
        condition: How it ended, as in the record for its destination: `Success`, `RetriesExhausted`,
            `EventAgeExceeded`; empty before.
    """

    function: str
    qualifier: str
    request_id: str
    payload: Any
    state: EventState
    attempts: tuple[LambdaAttempt, ...]
    throttled: int = 0
    due: float | None = None
    condition: str = ""

    def __str__(self) -> str:
        tried = f"tried {len(self.attempts)} times" if len(self.attempts) != 1 else "tried once"
        errors = [f"{attempt.error}: {attempt.message}" for attempt in self.attempts if attempt.error]
        error = f", last {errors[-1]}" if errors else ""
        throttled = f", throttled {self.throttled} times" if self.throttled else ""
        return f"{self.function} {self.request_id} is {self.state}, {tried}{throttled}{error}"


class LambdaEvents:
    """The asynchronous invocations since the test began, in the order in which Lambda accepted them.

    Args:
        control: Asks the service.
    """

    def __init__(self, control: "Control") -> None:
        self._control = control

    def __iter__(self) -> Iterator[LambdaEvent]:
        """Return all events."""
        return iter(self.queued)

    def __len__(self) -> int:
        return len(self.queued)

    def __getitem__(self, index: int) -> LambdaEvent:
        return self.queued[index]

    @property
    def queued(self) -> list[LambdaEvent]:
        """Return all events, whatever has become of them."""
        return _events_in(read_journal(self._control))

    @property
    def succeeded(self) -> list[LambdaEvent]:
        """Return the events that ended well."""
        return self.of(state="succeeded")

    @property
    def retried(self) -> list[LambdaEvent]:
        """Return the events that were tried more than once."""
        return self.of(state="retried")

    @property
    def waiting(self) -> list[LambdaEvent]:
        """Return the events that failed and wait for the retry clock."""
        return self.of(state="waiting")

    @property
    def given_up(self) -> list[LambdaEvent]:
        """Return the events whose retries are used up, or that have become too old."""
        return self.of(state="given_up")

    def of(self, function: object = None, *, state: AwaitedState | None = None) -> list[LambdaEvent]:
        """Return the events of one function, given by its name or as `deploy` returned it, or in one state."""
        return [event for event in self.queued if _matches(event, function, state, None)]

    def wait_for(
        self,
        state: AwaitedState = "ended",
        *,
        function: object = None,
        request_id: str | None = None,
        count: int = 1,
        timeout_s: float = WITHIN_S,
    ) -> list[LambdaEvent]:
        """Wait until so many events are in a state; return them.

        Args:
            state: A state, `retried` (tried more than once), or `ended`.
            function: The function that they must belong to, by its name or as `deploy` returned it.
            request_id: The request that they must belong to.
            count: How many there must be at least.
            timeout_s: How long to wait, seconds of real time. The retry clock does not move by itself.

        Raises:
            EventsMissing: There are not so many in time; the message says where each event is.
            HarnessError: There is no such state.
        """
        __tracebackhide__ = True
        states = (*get_args(EventState), "retried", "ended")
        if state not in states:
            raise HarnessError(f"wait_for({state!r}): there is no such state", remedy=f"use one of {', '.join(states)}")
        deadline = time.monotonic() + timeout_s
        reading = read_journal(self._control)
        while True:
            events = _events_in(reading)
            found = [event for event in events if _matches(event, function, state, request_id)]
            if len(found) >= count:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                wanted = f"{count} event{'s' if count > 1 else ''}" + (f" of {_name(function)}" if function else "")
                raise EventsMissing(
                    f"{wanted} should be {state}: after {timeout_s:g} s there are {len(found)}\n"
                    + _described(events, reading)
                )
            reading = read_journal(self._control, after=reading.version, wait_s=min(left, _POLL_S))


class RetryClock:
    """Lambda's clock for retries and the age of events: it stands still until a test sets it forward.

    Args:
        control: Asks the service.
    """

    def __init__(self, control: "Control") -> None:
        self._control = control

    @property
    def now(self) -> float:
        """Return the seconds by which the test has set it forward."""
        return read_journal(self._control).clock.now

    @property
    def next_due(self) -> float | None:
        """Return when the first waiting event is due, in seconds as `now`; None if no event waits."""
        return read_journal(self._control).clock.next_due

    def advance(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, timeout_s: float = ATTEMPTS_WITHIN_S
    ) -> None:
        """Set the clock forward, and return when every attempt that became due has ended.

        Events that run already are waited for first. Each attempt happens at its own time: of two retries, after 1 and
        after 2 more minutes, `advance(minutes=3)` sees both.

        Args:
            seconds: How far.
            minutes: How far, in minutes.
            hours: How far, in hours.
            timeout_s: How long the attempts may take, seconds of real time.

        Raises:
            HarnessError: An attempt does not end in time.
        """
        self._advance(seconds + 60 * minutes + 3600 * hours, timeout_s)

    def advance_to_next(self, *, timeout_s: float = ATTEMPTS_WITHIN_S) -> None:
        """Set the clock to the time when the first waiting event is due, and let it run.

        Args:
            timeout_s: As for `advance`.
        """
        self._advance(None, timeout_s)

    def advance_until_idle(self, *, timeout_s: float = ATTEMPTS_WITHIN_S) -> None:
        """Set the clock forward until no event waits or runs: all of them have ended.

        Args:
            timeout_s: As for `advance`, for all attempts together.

        Raises:
            HarnessError: Events still wait, or run, after that time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            reading = self._advance(None, max(0.001, deadline - time.monotonic()))
            if all(entry.state in ENDED for entry in reading.events):
                return
            if time.monotonic() >= deadline:
                raise HarnessError(
                    f"events still wait after {timeout_s:g} s",
                    _described(_events_in(reading), reading),
                    "raise timeout_s",
                )

    def _advance(self, seconds: float | None, timeout_s: float) -> JournalReading:
        body = {"seconds": seconds, "within_s": timeout_s}
        # The service's own deadline comes first, and names the events.
        answer = self._control.call("POST", "clock", body, within_s=timeout_s + 30.0)
        return msgspec.json.decode(answer, type=JournalReading)


def read_journal(control: "Control", *, after: int | None = None, wait_s: float = 0.0) -> JournalReading:
    """Return the journal of events, at once, or as soon as it has changed since a version of it."""
    query: dict[str, object] = {} if after is None else {"after": after, "wait_s": wait_s}
    answer = control.call("GET", "events", within_s=wait_s + 30.0, query=query)
    return msgspec.json.decode(answer, type=JournalReading)


def _events_in(reading: JournalReading) -> list[LambdaEvent]:
    return [_event(entry) for entry in reading.events]


def _event(entry: EventEntry) -> LambdaEvent:
    attempts = tuple(LambdaAttempt(one.at, one.error or "", one.message) for one in entry.attempts)
    return LambdaEvent(
        entry.function,
        entry.qualifier,
        entry.request_id,
        msgspec.json.decode(entry.payload),
        entry.state,
        attempts,
        entry.throttled,
        entry.due,
        entry.condition,
    )


def _matches(event: LambdaEvent, function: object, state: AwaitedState | None, request_id: str | None) -> bool:
    if function is not None and event.function != _name(function):
        return False
    if request_id not in (None, event.request_id):
        return False
    checks: dict[str, Callable[[], bool]] = {
        "retried": lambda: len(event.attempts) > 1,
        "ended": lambda: event.state in ENDED,
    }
    return state is None or checks.get(state, lambda: event.state == state)()


def _name(function: object) -> str:
    return str(getattr(function, "name", function))


def _described(events: list[LambdaEvent], reading: JournalReading) -> str:
    if not events:
        return "no function was invoked asynchronously"
    lines = [f"  {event}" for event in events[:_MOST_SHOWN]]
    if len(events) > _MOST_SHOWN:
        lines.append(f"  and {len(events) - _MOST_SHOWN} more")
    if reading.clock.next_due is not None:
        wait_s = reading.clock.next_due - reading.clock.now
        lines.append(f"the next is due in {wait_s:g} s: lambda_stack.retry_clock.advance({wait_s:g}) lets it run")
    return "\n".join(lines)
