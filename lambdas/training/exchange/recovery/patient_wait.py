"""Waits with recovery: quick polls at first, as in the plain wait; then what the rules say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from training.errors import ChannelError, DamagedFrame, RanksMissing
from training.exchange.channel.base import ReceiveBuffer, Value
from training.exchange.channel.retrying import NOTED_WAIT_S
from training.exchange.keys import Place
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.state import HEARTBEAT_S
from training.exchange.run_signals import poll
from training.exchange.waiting import Wait

# A wait is long when nothing came for this time: several rounds of a healthy run.
LONG_WAIT_S = 0.25
LONG_WAIT_POLL_S = 0.01
# With many ranks less often: each listens to all others.
LONG_WAIT_POLL_PER_RANK_S = 0.6e-3
LONGEST_WAIT_POLL_S = 0.1
# Another rank may know of a change of the store's nodes that this one has not noticed, because its own nodes are still
# there: a long wait looks this soon, then ever less often.
FIRST_LOOK_S = 0.5
LONGEST_LOOK_GAP_S = 8.0


class PatientPolicy:
    """Stores and waits with recovery; see `training.exchange.waiting.WaitPolicy`.

    Args:
        recovery: Helps when a wait becomes long.
    """

    def __init__(self, recovery: Recovery) -> None:
        self._recovery, self._retrying, self._channel = recovery, recovery.channel, recovery.mailbox.channel

    def store(self, values: Mapping[str, Value]) -> None:
        """Store values; retry a channel that fails until the round's deadline."""
        self._retrying.put_many(values)

    def first_poll(
        self, outgoing: Mapping[str, Value] | None, keys: list[str], buffers: Mapping[str, ReceiveBuffer]
    ) -> Mapping[str, Any]:
        """Store and poll; see `WaitPolicy.first_poll`."""
        if outgoing is not None:
            return self._retrying.round_trip(outgoing, keys, buffers)
        try:
            return self._channel.round_trip({}, keys, buffers)
        except ChannelError:
            return {}  # the polls that follow meet the failure again, with patience

    def wait(self, place: Place, timeout_s: float, delays: Iterator[float]) -> Wait:
        """Begin a wait; see `WaitPolicy.wait`."""
        return PatientWait(self._recovery, place, timeout_s, delays)


class PatientWait:
    """A wait with recovery; see `training.exchange.waiting.Wait`.

    Args:
        recovery: Helps when it becomes long.
        place: What it waits for.
        timeout_s: How long at most, counted again from when any rank comes back or makes progress: a missing one may
            itself wait for that rank.
        delays: Seconds between its polls, as long as it is not long.
    """

    def __init__(self, recovery: Recovery, place: Place, timeout_s: float, delays: Iterator[float]) -> None:
        mailbox = recovery.mailbox
        self._recovery, self._channel, self._keys = recovery, mailbox.channel, mailbox.keys
        self._others = mailbox.others
        self._place, self._timeout_s, self._delays = place, timeout_s, delays
        self._clock = mailbox.clock
        self._started = self._progress = self._begun = self._clock.now()
        self._found: Mapping[str, Any] = {}
        self._failure: ChannelError | None = None
        self._next_start = 0.0
        self._look_gap_s = FIRST_LOOK_S
        self._next_look = self._begun + self._look_gap_s
        self._long_wait_s = 0.0 if recovery.is_back else LONG_WAIT_S
        self._poll_s = min(LONGEST_WAIT_POLL_S, max(LONG_WAIT_POLL_S, LONG_WAIT_POLL_PER_RANK_S * mailbox.world_size))
        self._causes: list[str] = []
        self._noted = False
        self._watched = self._helped = False

    @property
    def _long(self) -> bool:
        return self._clock.now() - self._progress >= self._long_wait_s

    def poll(self, keys: list[str], buffers: Mapping[str, ReceiveBuffer] | None = None) -> Mapping[str, Any]:
        """Return the values that are there of these keys; nothing while the channel fails.

        Raises:
            RunAborted: A rank gave the run up.
        """
        try:
            self._watched = self._long
            wanted = [*keys, *self._recovery.watched()] if self._watched else keys
            self._found = poll(self._channel, self._keys.abort, wanted, buffers)
        except ChannelError as error:
            if self._failure is None:
                self._causes.append(str(error))
            self._failure, self._found = error, {}
        else:
            self._failure = None
        return self._found

    def damaged(self, error: DamagedFrame) -> None:
        """Note the damage: the frame counts as absent, and its sender republishes it."""
        if not self._causes:
            self._causes.append(str(error))

    def pause(self, missing: Iterable[int], *, progress: bool, more: bool = False) -> bool:
        """Wait for a moment, unless more is there already, and help when the wait is long. See `Wait.pause`.

        Raises:
            RanksMissing: The deadline passed; the error names who is missing.
            ChannelError: The deadline passed, and the channel failed at the end.
            Rejoin: This rank resumes from another's state.
            DuplicateDelivery: Another try of this rank runs, or the run is done.
        """
        now = self._clock.now()
        if progress:
            self._progress = now
            if more:
                return False
        if now - self._progress < self._long_wait_s and now - self._started < self._timeout_s:
            self._clock.pause(min(next(self._delays), self._timeout_s))
            return False
        missing = sorted(missing)
        self._started = max(self._started, self._recovery.last_sign_of(self._others))
        rest = self._timeout_s - (now - self._started)
        if rest <= 0:
            raise self._timed_out(missing, now)
        if now >= self._next_look:
            self._channel.refresh()
            self._look_gap_s = min(2 * self._look_gap_s, LONGEST_LOOK_GAP_S)
            self._next_look = now + self._look_gap_s
        # Whoever comes back listens before it speaks: those that answer at once must have been heard before.
        if self._failure is None and self._watched:
            self._causes += self._recovery.help(self._place, missing, self._found, self._begun)
            self._helped = True
        if now - self._begun >= NOTED_WAIT_S and not self._noted:
            self._noted = True
            whom = str(self._failure) if self._failure else f"rank {', '.join(map(str, missing))}"
            self._recovery.note("waiting", waits_for=whom, round=self._place.round)
        self._clock.sleep(min(self._poll_s, rest))
        start_over = now >= self._next_start
        if start_over:
            self._next_start = now + HEARTBEAT_S
        return start_over

    def finish(self) -> None:
        """Withdraw the position and note what happened on the way."""
        if self._helped:
            self._recovery.withdraw()
        if self._causes:
            seconds = self._clock.now() - self._begun
            self._recovery.note(
                "recovered", cause=self._causes[0], round=self._place.round, step=self._place.step, seconds=seconds
            )

    def _timed_out(self, missing: Sequence[int], now: float) -> Exception:
        waited = now - self._started
        if self._failure is not None:
            return ChannelError(f"{self._failure} (tried for {waited:.1f} s)")
        hint = self._channel.diagnosis()
        return RanksMissing(self._keys.run_id, self._place.round, self._place.step, missing, waited, hint)
