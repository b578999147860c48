"""How a rank waits for others: what every wait offers, and the plain wait.

The plain wait polls ever less often up to a deadline; a channel that fails and a damaged frame are errors.
`training.exchange.recovery.patient_wait` is the other kind.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from training.errors import DamagedFrame, RanksMissing
from training.exchange.channel.base import Channel, ReceiveBuffer, Value
from training.exchange.clock import Clock
from training.exchange.keys import Place, RunKeys
from training.exchange.run_signals import poll


class Wait(Protocol):
    """One wait for other ranks: polls and pauses take turns until everything is there."""

    def poll(self, keys: list[str], buffers: Mapping[str, ReceiveBuffer] | None = None) -> Mapping[str, Any]:
        """Return the values that are there of these keys; values that have a buffer are received in it.

        Raises:
            RunAborted: A rank gave the run up.
            ChannelError: The channel is not reachable.
        """

    def damaged(self, error: DamagedFrame) -> None:
        """Handle a damaged frame: raise the error, or return to wait until its sender has stored it again.

        Raises:
            DamagedFrame: It is final.
        """

    def pause(self, missing: Iterable[int], *, progress: bool, more: bool = False) -> bool:
        """Wait for a moment, before the next poll.

        Args:
            missing: The ranks whose frames are missing.
            progress: Whether the last poll found anything.
            more: Whether the next one will find something at once.

        Returns:
            Whether frames that came in part should be read from their beginning.

        Raises:
            RanksMissing: The deadline passed; the error names who is missing.
        """

    def finish(self) -> None:
        """End the wait: everything is there."""


class WaitPolicy(Protocol):
    """How a rank stores and waits: plainly, or with recovery."""

    def store(self, values: Mapping[str, Value]) -> None:
        """Store values.

        Raises:
            ChannelError: The channel is not reachable or refused one.
        """

    def first_poll(
        self, outgoing: Mapping[str, Value] | None, keys: list[str], buffers: Mapping[str, ReceiveBuffer]
    ) -> Mapping[str, Any]:
        """Store what is outgoing, if anything, and return the values that are there, in one round trip.

        Only later polls notice that the run was given up: whoever finds everything here waits for nobody.

        Raises:
            ChannelError: The channel is not reachable or refused a value.
        """

    def wait(self, place: Place, timeout_s: float, delays: Iterator[float]) -> Wait:
        """Begin a wait.

        Args:
            place: What is waited for.
            timeout_s: How long at most.
            delays: Seconds between its polls.
        """


class PlainPolicy:
    """Waits without recovery.

    Args:
        channel: Where frames are.
        keys: The run's keys.
        clock: What waits go by.
    """

    def __init__(self, channel: Channel, keys: RunKeys, clock: Clock = Clock()) -> None:  # noqa: B008 - frozen
        self.channel, self.keys, self.clock = channel, keys, clock

    def store(self, values: Mapping[str, Value]) -> None:
        """Store values; see `WaitPolicy.store`."""
        self.channel.put_many(values)

    def first_poll(
        self, outgoing: Mapping[str, Value] | None, keys: list[str], buffers: Mapping[str, ReceiveBuffer]
    ) -> Mapping[str, Any]:
        """Store and poll; see `WaitPolicy.first_poll`."""
        return self.channel.round_trip(outgoing or {}, keys, buffers)

    def wait(self, place: Place, timeout_s: float, delays: Iterator[float]) -> Wait:
        """Begin a wait; see `WaitPolicy.wait`."""
        return PlainWait(self, place, timeout_s, delays)


class PlainWait:
    """A wait without recovery; see `Wait`.

    Args:
        policy: Gives it the channel, the keys and the clock.
        place: What it waits for.
        timeout_s: How long at most.
        delays: Seconds between its polls.
    """

    def __init__(self, policy: PlainPolicy, place: Place, timeout_s: float, delays: Iterator[float]) -> None:
        self._channel, self._keys, self._clock = policy.channel, policy.keys, policy.clock
        self._place, self._timeout_s, self._delays = place, timeout_s, delays
        self._started = self._clock.now()

    def poll(self, keys: list[str], buffers: Mapping[str, ReceiveBuffer] | None = None) -> Mapping[str, Any]:
        """Return the values that are there; see `Wait.poll`."""
        return poll(self._channel, self._keys.abort, keys, buffers)

    def damaged(self, error: DamagedFrame) -> None:
        """Raise: nobody stores a damaged frame again.

        Raises:
            DamagedFrame: Always.
        """
        raise error

    def pause(self, missing: Iterable[int], *, progress: bool, more: bool = False) -> bool:
        """Wait for a moment, unless more is there already; return False. See `Wait.pause`.

        Raises:
            RanksMissing: The deadline passed; the error names who is missing.
        """
        waited = self._clock.now() - self._started
        if waited >= self._timeout_s:
            raise RanksMissing(self._keys.run_id, self._place.round, self._place.step, sorted(missing), waited)
        if not (progress and more):
            self._clock.pause(min(next(self._delays), self._timeout_s - waited))
        return False

    def finish(self) -> None:
        """Do nothing."""
