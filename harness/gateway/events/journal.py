"""The journal of asynchronous invocations: where each event is between its acceptance and its end.

    queued --> running --> succeeded
                 |  ^  `-> given_up     its retries are used up, or it has become too old
                 v  |
        waiting, throttled ----> dropped    its function is gone

Events in progress are always in it; ended ones are kept only if a test has asked for them.
"""

import asyncio
from collections import deque
from typing import Literal

import msgspec

from harness.gateway.names import Identifier

EventState = Literal["queued", "running", "waiting", "throttled", "succeeded", "given_up", "dropped"]
ENDED = frozenset({"succeeded", "given_up", "dropped"})
WORKING = frozenset({"queued", "running"})
_LONGEST_ERROR = 1_000


class EventAttempt(msgspec.Struct):
    """One attempt to run an event.

    Attributes:
        at: When it began, seconds of the event clock since the journal was cleared.
        error: The error's type; None if it succeeded or still runs.
        message: The error's message.
    """

    at: float
    error: str | None = None
    message: str = ""


class EventEntry(msgspec.Struct, kw_only=True):
    """One event.

    Attributes:
        number: Counts the accepted events.
        request_id: Its request's id.
        function: The function's name.
        qualifier: The version or the alias that was invoked; empty if none was given.
        payload: JSON.
        state: Where it is.
        attempts: How it was run so far; a throttled attempt is none.
        throttled: How often it was throttled.
        due: When it is tried again, seconds of the event clock since the journal was cleared; None if it does not wait.
        condition: How it ended, as in the record for its destination; empty before.
    """

    number: int
    request_id: str
    function: str
    qualifier: str
    payload: msgspec.Raw
    state: EventState = "queued"
    attempts: list[EventAttempt] = []
    throttled: int = 0
    due: float | None = None
    condition: str = ""


class EventJournal:
    """The events of all functions."""

    def __init__(self) -> None:
        self._active: dict[int, EventEntry] = {}
        self._ended: deque[EventEntry] = deque(maxlen=0)
        self._changed = asyncio.Event()
        self._accepted = 0
        self.version = 0
        self.began = 0.0

    def clear(self, *, keep: int, now: float) -> None:
        """Forget all events.

        Args:
            keep: How many ended events to keep from now on.
            now: The time from which the times of new entries are counted.
        """
        self._active.clear()
        self._ended = deque(maxlen=keep)
        self.began = now
        self._notify()

    def open(self, request_id: str, identifier: Identifier, payload: bytes) -> EventEntry:
        """Record that an event was accepted."""
        self._accepted += 1
        entry = EventEntry(
            number=self._accepted,
            request_id=request_id,
            function=identifier.name,
            qualifier=identifier.qualifier,
            payload=msgspec.Raw(payload),
        )
        self._active[id(entry)] = entry
        self._notify()
        return entry

    def set_state(self, entry: EventEntry, state: EventState, *, due: float | None = None, condition: str = "") -> None:
        """Record where an event is now."""
        entry.state, entry.condition = state, condition
        entry.due = None if due is None else due - self.began
        if state in ENDED and self._active.pop(id(entry), None) is not None:
            self._ended.append(entry)
        self._notify()

    def begin_attempt(self, entry: EventEntry, now: float) -> None:
        """Record that an event runs."""
        entry.attempts = [*entry.attempts, EventAttempt(now - self.began)]
        self.set_state(entry, "running")

    def fail_attempt(self, entry: EventEntry, error: str, message: str) -> None:
        """Record why the running attempt failed."""
        entry.attempts[-1].error, entry.attempts[-1].message = error, message[:_LONGEST_ERROR]

    def throttle_attempt(self, entry: EventEntry) -> None:
        """Record that the attempt that was begun has not run, because no concurrency was left."""
        entry.attempts = entry.attempts[:-1]
        entry.throttled += 1

    def close(self, entry: EventEntry) -> None:
        """Forget an event that was cancelled."""
        self._active.pop(id(entry), None)
        self._notify()

    def entries(self) -> list[EventEntry]:
        """Return the events in the order in which they were accepted."""
        return sorted([*self._ended, *self._active.values()], key=lambda entry: entry.number)

    @property
    def working(self) -> list[EventEntry]:
        """Return the events that are about to run or run, rather than wait."""
        return [entry for entry in self._active.values() if entry.state in WORKING]

    async def wait_for_change(self, after: int, seconds: float) -> None:
        """Wait until the journal has changed since a version of it, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                while self.version <= after:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def _notify(self) -> None:
        self.version += 1
        self._changed.set()
