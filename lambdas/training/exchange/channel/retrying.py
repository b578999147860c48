"""A channel whose operations are retried: one that fails for a moment costs time, not the run."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from training.errors import ChannelError, ValueTooLarge
from training.exchange.channel.base import Channel, ReceiveBuffer, Value
from training.exchange.clock import Clock
from training.exchange.notes import Note

# The first retry comes this soon; each further one waits twice as long as the one before it.
FIRST_RETRY_S = 0.01
LONGEST_RETRY_S = 0.25
# Watchers are told of a failure that lasts this long.
NOTED_WAIT_S = 5.0

Answer = TypeVar("Answer")


class RetryingChannel:
    """Stores and reads in another channel, and tries again until the deadline of the round.

    Args:
        channel: The other channel.
        clock: What retries go by.
        check: Called before each retry; raises `DuplicateDelivery` when this rank must stop.
        note: Told of failures that last, and of their end.
    """

    def __init__(self, channel: Channel, clock: Clock, check: Callable[[], None], note: Note) -> None:
        self._channel, self._clock, self._check, self._note = channel, clock, check, note
        self._round, self._patience_s = 0, 0.0

    def begin_round(self, number: int, patience_s: float) -> None:
        """Set how long an operation may be retried in a round."""
        self._round, self._patience_s = number, patience_s

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Store values, then read keys; see `Channel.round_trip`.

        Raises:
            ChannelError: The channel failed until the deadline.
        """
        started = self._clock.now()
        try:
            return self._channel.round_trip(values, keys, buffers)
        except ChannelError as error:
            return self._retry(lambda: self._channel.round_trip(values, keys, buffers), started, error)

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Store values; see `Channel.put_many`.

        Raises:
            ChannelError: The channel failed until the deadline.
        """
        started = self._clock.now()
        try:
            self._channel.put_many(values)
        except ChannelError as error:
            self._retry(lambda: self._channel.put_many(values), started, error)

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that are there; see `Channel.get_many`.

        Raises:
            ChannelError: The channel failed until the deadline.
        """
        started = self._clock.now()
        try:
            return self._channel.get_many(keys)
        except ChannelError as error:
            return self._retry(lambda: self._channel.get_many(keys), started, error)

    def _retry(self, operation: Callable[[], Answer], started: float, error: ChannelError) -> Answer:
        delay, noted = FIRST_RETRY_S, False
        while True:
            if isinstance(error, ValueTooLarge):
                raise error
            waited = self._clock.now() - started
            if waited >= self._patience_s:
                raise ChannelError(f"{error} (tried for {waited:.1f} s)") from error
            self._check()
            if waited >= NOTED_WAIT_S and not noted:
                noted = True
                self._note("waiting", waits_for=str(error), round=self._round)
            self._clock.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_S)
            try:
                answer = operation()
            except ChannelError as again:
                error = again
            else:
                seconds = self._clock.now() - started
                self._note("recovered", cause=str(error), round=self._round, seconds=seconds)
                return answer
