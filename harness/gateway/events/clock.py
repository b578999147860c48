"""The clock by which queued events wait and grow old: real time, or one that a test stops and sets forward.

    real        retries happen after AWS's minutes
    stopped     they happen when a test sets the clock forward, to the same instant on every machine

Waits of throttled events end after their real time, too: they depend on how long other invocations run.
"""

import asyncio
import time
from dataclasses import dataclass


@dataclass(eq=False)
class _Sleeper:
    """One event that waits.

    Attributes:
        due: When its wait ends, by the event clock.
        woken: Completed at that time.
        ends_at: When its wait ends by the event loop's clock, even if the event clock is stopped; None if it does not.
        timer: Ends the wait in real time, if one is set.
    """

    due: float
    woken: asyncio.Future[None]
    ends_at: float | None
    timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """End the wait."""
        if not self.woken.done():
            self.woken.set_result(None)


class EventClock:
    """A clock with sleepers."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._stopped_at: float | None = None
        self._sleepers: list[_Sleeper] = []

    @property
    def stopped(self) -> bool:
        """Return whether the clock moves only when it is set forward."""
        return self._stopped_at is not None

    def now(self) -> float:
        """Return the time in seconds, from an arbitrary start."""
        return self._stopped_at if self._stopped_at is not None else time.monotonic() + self._ahead

    def stop(self) -> None:
        """Stop the clock at zero, so that sums of whole seconds are exact; nobody may be waiting."""
        assert not self._sleepers  # noqa: S101 - whoever stops the clock has cancelled all events
        self._stopped_at = 0.0

    def start(self) -> None:
        """Continue with real time."""
        if self._stopped_at is not None:
            self._ahead = self._stopped_at - time.monotonic()
            self._stopped_at = None
            self._set_timers()

    def set_forward(self, to: float) -> None:
        """Set the clock to a later time, and wake those whose wait ends by then, in that order."""
        step = max(0.0, to - self.now())
        if self._stopped_at is not None:
            self._stopped_at += step
        else:
            self._ahead += step
        for sleeper in sorted(self._sleepers, key=lambda one: one.due):
            if sleeper.due <= self.now():
                sleeper.wake()
        self._set_timers()

    def next_due(self) -> float | None:
        """Return when the first wait ends; None if nobody waits."""
        return min((sleeper.due for sleeper in self._sleepers if not sleeper.woken.done()), default=None)

    @property
    def waking(self) -> bool:
        """Return whether somebody's wait has ended who does not run yet."""
        return any(sleeper.woken.done() for sleeper in self._sleepers)

    async def sleep_until(
        self, due: float, *, at_most_real: bool = False, woken: asyncio.Future[None] | None = None
    ) -> None:
        """Wait until it is so late by this clock.

        Args:
            due: When the wait ends.
            at_most_real: Whether the wait also ends after as much real time.
            woken: Completed at the end of the wait; whoever completes it before ends the wait.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + due - self.now() if at_most_real else None
        sleeper = _Sleeper(due, woken or loop.create_future(), ends_at)
        self._sleepers.append(sleeper)
        if due <= self.now():
            sleeper.wake()
        else:
            self._set_timer(sleeper)
        try:
            await sleeper.woken
        finally:
            self._sleepers.remove(sleeper)
            if sleeper.timer is not None:
                sleeper.timer.cancel()

    def _set_timers(self) -> None:
        for sleeper in self._sleepers:
            self._set_timer(sleeper)

    def _set_timer(self, sleeper: _Sleeper) -> None:
        if sleeper.timer is not None:
            sleeper.timer.cancel()
            sleeper.timer = None
        loop = asyncio.get_running_loop()
        if not self.stopped:
            sleeper.timer = loop.call_later(max(0.0, sleeper.due - self.now()), sleeper.wake)
        elif sleeper.ends_at is not None:
            sleeper.timer = loop.call_at(sleeper.ends_at, sleeper.wake)
