"""Recovery around the plain collectives: what a rank does when a wait becomes long.

Invariant: whatever it does, every rank goes on with the bits that an undisturbed run would have.
Frames are put again as they were, and a state is handed over as it was before a round, so that everything after it is
computed anew from the same values.

    a wait of rank 0, whose peer 1 died and comes back as attempt 2

    0 ---- 0.25 s ------------------------------------------------------------------------- time
    poll   | position (round 7, missing 1), again every 0.25 s ...
           |                   1 comes back: new, sees the positions, asks 0
           |                   | 0 writes its state before round 7
           |                   |   | 1 takes it, computes round 7 | puts its frames
           |                   |   |                              | 0 goes on

Without a fault nothing of this runs: the layer costs a reference to the state and to the frames of two rounds.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from numpy.typing import NDArray

from training.errors import ChannelError, DamagedFrame, DuplicateDelivery, ImpossibleValue, RanksMissing, ValueTooLarge
from training.exchange.channel.base import ReceiveBuffer, Value
from training.exchange.clock import Clock
from training.exchange.frame import MOST_COUNT
from training.exchange.keys import DONE, Place, piece_key, pieces_of
from training.exchange.mailbox import Mailbox
from training.exchange.packing import pack_state, state_length, unpack_state
from training.exchange.recovery.rules import (
    NOBODY,
    HandOver,
    Phase,
    Position,
    Republish,
    TakeSnapshot,
    decide,
    pack_position,
    read_position,
)

logger = logging.getLogger(__name__)

# A wait is long when nothing came for this time: several rounds of a healthy run.
LONG_WAIT_S = 0.25
HEARTBEAT_S = 0.25
# A rank whose beat did not move for this time does not wait any more, or never did.
LIVE_S = 1.0
# How long a new rank listens before it decides who is furthest behind.
LISTEN_S = 0.1
ASK_AGAIN_S = 1.0
LONG_WAIT_POLL_S = 0.01
# With many ranks more seldom: each listens to all others.
LONG_WAIT_POLL_PER_RANK_S = 0.6e-3
LONGEST_WAIT_POLL_S = 0.1
# Whether the run is over without this rank is asked this soon, then ever more seldom.
FIRST_QUESTION_GAP_S = 1.0
LONGEST_QUESTION_GAP_S = 16.0
# A wait of this length is told to whoever watches the run.
NOTED_WAIT_S = 5.0
# A channel that fails is tried again this soon, then ever later.
FIRST_RETRY_S = 0.01
LONGEST_RETRY_S = 0.25

Answer = TypeVar("Answer")


class Agreed(msgspec.Struct, frozen=True):
    """A total of round 0 that all ranks know."""

    values: NDArray[Any]
    samples: int


class Snapshot(msgspec.Struct, frozen=True):
    """What a rank needs to go on in another's place.

    Attributes:
        run_id: The run.
        round: The round that the state stands before.
        agreed: The totals of round 0 by name.
        state: The algorithm's state, packed.
        earlier: The state before the round before; empty unless ranks have states of their own.
            A rank that died in that round has none of its own after it.
        finished: Whether training is over with this state.
    """

    run_id: str
    round: int
    agreed: dict[str, Agreed]
    state: bytes
    earlier: bytes
    finished: bool


class Rejoin(Exception):
    """This rank goes on from another's state, or from a newer checkpoint; no error, it unwinds the algorithm.

    Args:
        snapshot: The state; None to look for the newest checkpoint again.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        super().__init__("go on from elsewhere")
        self.snapshot = snapshot


class Note(Protocol):
    """Tells watchers what recovery did."""

    def __call__(self, event: str, **values: object) -> None:
        """Writes one event."""


def _silent(event: str, **values: object) -> None:
    del event, values


class Recovery:
    """The recovery of one rank.

    Args:
        mailbox: This rank's mailbox; it uses this layer from now on.
        token: Names this try of the rank; no other try has the same.
        clock: What waits go by.
        check: Called before every round and on every long wait; raises `DuplicateDelivery` when this rank must stop.
        note: Told what recovery did.
        is_over: Whether all ranks have stored their results; asked now and then in a long wait.

    Attributes:
        last_round: The last round that the job can have, as soon as that is known.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        token: str,
        clock: Clock = Clock(),  # noqa: B008 - frozen
        check: Callable[[], None] = lambda: None,
        note: Note = _silent,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.patience_s = 0.0
        self.last_round = MOST_COUNT
        self.agreed: dict[str, Agreed] = {}
        self.is_outdated: Callable[[], bool] = lambda: False
        self.check, self.note, self._is_over = check, note, is_over
        self._mailbox, self._channel, self._clock = mailbox, mailbox.channel, clock
        self._own = Position(mailbox.rank, token, mailbox.attempt, phase=Phase.NEW)
        self._state: object = None
        self._earlier: object = b""
        self._inherited = (0, b"")
        self._heard: dict[int, tuple[Position, float]] = {}
        self._moved: dict[int, float] = {}
        self._answered: set[tuple[str, int]] = set()
        self._asked_at = 0.0
        self._next_heartbeat = 0.0
        self._next_republish = 0.0
        self._first_heard = 0.0
        self._question_gap = FIRST_QUESTION_GAP_S
        self._next_question = clock.now() + self._question_gap
        self._waiting_since = 0.0
        mailbox.recovery = self

    def inherit(self, snapshot: Snapshot) -> None:
        """Keeps what of another's state this rank may have to hand on itself."""
        self._inherited = (snapshot.round, snapshot.earlier)

    def begin_round(
        self, number: int, state: object, phase: Phase, patience_s: float, *, keep_earlier: bool = False
    ) -> None:
        """Notes where this rank is, and the state that it could hand over.

        Args:
            number: The round.
            state: A Struct that stands before the round; it must not change any more.
            phase: How far the rank is.
            patience_s: Limit of a wait in this round.
            keep_earlier: Whether the state before the last round may be needed too.
        """
        self.check()
        if keep_earlier and number == self._own.round + 1 > 1:
            self._earlier = self._state
        else:
            inherited, earlier = self._inherited
            self._earlier = earlier if number == inherited else b""
        self._state, self.patience_s = state, patience_s
        self._own = msgspec.structs.replace(self._own, phase=phase, round=number, asks=NOBODY)

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Stores values, then reads keys; a channel that fails is tried again until the round's deadline.

        Raises:
            ChannelError: It failed until then.
        """
        return self._patiently(lambda: self._channel.round_trip(values, keys, buffers))

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Stores values; a channel that fails is tried again until the round's deadline.

        Raises:
            ChannelError: It failed until then.
        """
        self._patiently(lambda: self._channel.put_many(values))

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there; a channel that fails is tried again until the round's deadline.

        Raises:
            ChannelError: It failed until then.
        """
        return self._patiently(lambda: self._channel.get_many(keys))

    def wait(self, place: Place, timeout_s: float, looks: Iterator[float]) -> "PatientWait":
        """A wait that knows what to do when it becomes long; see `Mailbox.wait`."""
        return PatientWait(self, self._mailbox, place, timeout_s, looks)

    @property
    def clock(self) -> Clock:
        """What waits go by."""
        return self._clock

    @property
    def is_back(self) -> bool:
        """Whether this rank comes back after another try: it is waited for, and says at once that it is there."""
        return self._own.phase == Phase.NEW and self._own.attempt > 1

    def watched(self) -> list[str]:
        """Keys to look at during a long wait: the others' positions, and the snapshot that was asked for."""
        keys = [self._mailbox.key(DONE), *(self._position_key(rank) for rank in self._mailbox.others)]
        return keys if self._own.asks == NOBODY else [*keys, self._snapshot_key(self._own)]

    def withdraw(self) -> None:
        """Takes this rank's position back: it does not wait any more."""
        try:
            self._channel.delete_many([self._position_key(self._own.rank)])
        except ChannelError as error:
            logger.debug("the position stays until it is overwritten: %s", error)

    def last_sign_of(self, ranks: Sequence[int]) -> float:
        """When one of these ranks came back or got further, as far as it was heard."""
        return max((self._moved.get(rank, 0.0) for rank in ranks), default=0.0)

    def help(self, place: Place, missing: Sequence[int], found: Mapping[str, bytes], since: float) -> list[str]:
        """Does what the rules say; returns what it did in words.

        Args:
            place: What is waited for.
            missing: The ranks whose frames are.
            found: What the last look found, the watched keys among them.
            since: When the wait began.

        Raises:
            Rejoin: This rank goes on from another's state.
            DuplicateDelivery: Another try of this rank goes on, or the run is over.
            ImpossibleValue: Somebody else writes to the run's keys.
        """
        self.check()
        now = self._clock.now()
        self._waiting_since = since
        self._check_over(found, now)
        news = self._listen(found, now)
        self._stand(place, tuple(missing), now, at_once=news)
        if self._own.asks != NOBODY and self._snapshot_key(self._own) in found:
            self._take(found[self._snapshot_key(self._own)])
        live = [position for position, since in self._heard.values() if since > 0 and now - since < LIVE_S]
        if not live:
            self._first_heard = now
        settled = len(live) == len(self._mailbox.others) or now - self._first_heard >= LISTEN_S
        action = decide(self._own, live, answered=self._answered, settled=settled)
        if isinstance(action, TakeSnapshot):
            if self._own.asks != action.donor or now - self._asked_at >= ASK_AGAIN_S:
                self._own = msgspec.structs.replace(self._own, asks=action.donor, question=self._own.question + 1)
                self._asked_at = now
                self._publish(now)
        elif isinstance(action, HandOver):
            self._hand_over(action.to)
            return [f"handed its state to rank {action.to.rank}"]
        elif isinstance(action, Republish) and now >= self._next_republish:
            self._next_republish = now + HEARTBEAT_S
            frames = self._mailbox.republish()
            self.note("reput", round=place.round, frames=frames, ranks=action.ranks)
            return ["put its frames again"]
        return []

    def _check_over(self, found: Mapping[str, bytes], now: float) -> None:
        over = self._mailbox.key(DONE) in found
        if not over and now >= self._next_question:
            over = self._is_over()
            if not over and self.is_outdated():
                raise Rejoin(None)
            self._question_gap = min(2 * self._question_gap, LONGEST_QUESTION_GAP_S)
            self._next_question = now + self._question_gap
        if over:
            raise DuplicateDelivery("all ranks have stored their results")

    def _patiently(self, trip: Callable[[], Answer]) -> Answer:
        started, delay, cause = self._clock.now(), FIRST_RETRY_S, ""
        noted = False
        while True:
            try:
                answer = trip()
            except ValueTooLarge:
                raise
            except ChannelError as error:
                waited = self._clock.now() - started
                if waited >= self.patience_s:
                    raise ChannelError(f"{error} (tried for {waited:.1f} s)") from error
                self.check()
                cause = str(error)
                if waited >= NOTED_WAIT_S and not noted:
                    noted = True
                    self.note("waiting", waits_for=cause, round=self._own.round)
            else:
                if cause:
                    self.note("recovered", cause=cause, round=self._own.round, seconds=self._clock.now() - started)
                return answer
            self._clock.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_S)

    def _listen(self, found: Mapping[str, bytes], now: float) -> bool:
        """Takes in the others' positions; tells whether one came back or asks, and waits for an answer."""
        news = False
        for rank in self._mailbox.others:
            key = self._position_key(rank)
            buffer = found.get(key)
            position = None if buffer is None else self._read_position(buffer, key, rank)
            if position is None:
                if rank in self._heard:  # it does not wait any more
                    self._heard[rank] = (self._heard[rank][0], 0.0)
                continue
            known, _ = self._heard.get(rank, (None, 0.0))
            if known is None or (known.token, known.question) != (position.token, position.question):
                news = True
            if known is None or (known.token, known.round, known.phase) != (
                position.token,
                position.round,
                position.phase,
            ):
                self._moved[rank] = now
            if known is None:
                self._heard[rank] = (position, 0.0)  # it may be of long ago: only a beat that moves is alive
            elif (known.token, known.heartbeat) != (position.token, position.heartbeat):
                self._heard[rank] = (position, now)
        return news

    def _read_position(self, buffer: bytes, key: str, rank: int) -> Position | None:
        # Ranks that have done the last round wait in the one after it.
        last_round = min(self.last_round + 1, MOST_COUNT)
        return read_position(buffer, key, rank=rank, world_size=self._mailbox.world_size, last_round=last_round)

    def _stand(self, place: Place, missing: tuple[int, ...], now: float, *, at_once: bool) -> None:
        """Writes this rank's position: with every beat, when it changed, and when somebody is to hear it at once."""
        stands = msgspec.structs.replace(
            self._own,
            round=place.round,
            step=place.step,
            missing=missing,
            holds_from=self._mailbox.holds_from,
            began_at=self._mailbox.began_at,
        )
        if at_once or now >= self._next_heartbeat or stands != self._own:
            self._own = stands
            self._publish(now)

    def _publish(self, now: float) -> None:
        self._own = msgspec.structs.replace(self._own, heartbeat=self._own.heartbeat + 1)
        self._next_heartbeat = now + HEARTBEAT_S
        self._try_to_put({self._position_key(self._own.rank): pack_position(self._own)})

    def _hand_over(self, to: Position) -> None:
        snapshot = Snapshot(
            self._mailbox.run_id,
            self._own.round,
            self.agreed,
            pack_state(self._state),
            self._earlier if isinstance(self._earlier, bytes) else pack_state(self._earlier),
            finished=self._own.phase == Phase.FINISHED,
        )
        body = pack_state(snapshot)
        key = self._snapshot_key(to)
        if self._try_to_put(pieces_of(key, body, self._channel.max_value_bytes)):
            self._answered.add((to.token, to.question))
            self.note("handed_over", round=snapshot.round, to=to.rank, bytes=len(body))

    def _take(self, first_piece: bytes) -> None:
        """Goes on from the snapshot, or asks again when it is not whole."""
        key, limit = self._snapshot_key(self._own), self._channel.max_value_bytes
        keys = [piece_key(key, index) for index in range(max(1, -(-state_length(first_piece) // limit)))]
        try:
            found = self._channel.get_many(keys)
            body = b"".join(found[key] for key in keys)
            snapshot = unpack_state(Snapshot, body, f"snapshot for rank {self._own.rank}")
            self._channel.delete_many(keys)
            self._check_snapshot(snapshot, key)
        except (ChannelError, DamagedFrame, KeyError) as error:
            logger.warning("the snapshot is asked for again: %r", error)
            self._own = msgspec.structs.replace(self._own, asks=NOBODY)
            return
        self._own = msgspec.structs.replace(self._own, asks=NOBODY)
        # A rank that trains goes back for others, or on when it was left behind; its donor may have moved meanwhile.
        elsewhere = snapshot.round < self._own.began_at or snapshot.round > self._own.round
        if self._own.phase == Phase.NEW or elsewhere:
            self.note(
                "rejoined", round=snapshot.round, bytes=len(body), seconds=self._clock.now() - self._waiting_since
            )
            raise Rejoin(snapshot)

    def _check_snapshot(self, snapshot: Snapshot, key: str) -> None:
        writer = f"rank {self._own.asks}"
        if snapshot.run_id != self._mailbox.run_id:
            raise ImpossibleValue(key, f"it is of run {snapshot.run_id[:60]!r}", writer)
        if not 1 <= snapshot.round <= self.last_round + 1:
            raise ImpossibleValue(key, f"round is {snapshot.round}, allowed are 1 to {self.last_round + 1}", writer)

    def _try_to_put(self, values: Mapping[str, Value]) -> bool:
        """Stores what can be stored again later."""
        try:
            self._channel.put_many(values)
        except ChannelError as error:
            logger.warning("not stored: %s", error)
            return False
        return True

    def _position_key(self, rank: int) -> str:
        return self._mailbox.key(f"position/{rank}")

    def _snapshot_key(self, asking: Position) -> str:
        return self._mailbox.key(f"snapshot/{asking.rank}/{asking.token}.{asking.question}")


class PatientWait:
    """A wait with recovery: quick looks at first, as in `mailbox.Wait`; then the rules.

    Args:
        recovery: The rules.
        mailbox: What waits.
        place: What it waits for.
        timeout_s: How long at most, counted anew when a missing rank shows that it lives.
        looks: Seconds between its looks, as long as it is not long.
    """

    def __init__(
        self, recovery: Recovery, mailbox: Mailbox, place: Place, timeout_s: float, looks: Iterator[float]
    ) -> None:
        self._recovery, self._mailbox, self._place, self._timeout_s = recovery, mailbox, place, timeout_s
        self._clock, self._delays = recovery.clock, looks
        self._started = self._progress = self._begun = self._clock.now()
        self._found: Mapping[str, Any] = {}
        self._failure: ChannelError | None = None
        self._next_start = 0.0
        self._long_wait_s = 0.0 if recovery.is_back else LONG_WAIT_S
        self._poll_s = min(LONGEST_WAIT_POLL_S, max(LONG_WAIT_POLL_S, LONG_WAIT_POLL_PER_RANK_S * mailbox.world_size))
        self._causes: list[str] = []
        self._noted = False
        self._stood = False

    @property
    def _long(self) -> bool:
        return self._clock.now() - self._progress >= self._long_wait_s

    def poll(self, keys: list[str], buffers: Mapping[str, ReceiveBuffer] | None = None) -> Mapping[str, Any]:
        """What is there of these keys; nothing while the channel fails."""
        try:
            wanted = [*keys, *self._recovery.watched()] if self._long else keys
            self._found = self._mailbox.poll(wanted, buffers)
        except ChannelError as error:
            if self._failure is None:
                self._causes.append(str(error))
            self._failure, self._found = error, {}
        else:
            self._failure = None
        return self._found

    def damaged(self, error: DamagedFrame) -> None:
        """A damaged frame counts as absent: its sender puts it again."""
        if not self._causes:
            self._causes.append(str(error))

    def pause(self, missing: Iterable[int], *, progress: bool, more: bool = False) -> bool:
        """Waits a little, unless more is there already, and helps when the wait is long.

        Returns:
            Whether frames that came in part should be read from their beginning.

        Raises:
            RanksMissing: The deadline passed; the error names who is missing.
            ChannelError: The deadline passed, and the channel failed at the end.
            Rejoin: This rank goes on from another's state.
            DuplicateDelivery: Another try of this rank goes on, or the run is over.
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
        self._started = max(self._started, self._recovery.last_sign_of(missing))
        rest = self._timeout_s - (now - self._started)
        if rest <= 0:
            raise self._timed_out(missing, now)
        if self._failure is None:
            self._causes += self._recovery.help(self._place, missing, self._found, self._begun)
            self._stood = True
        if now - self._begun >= NOTED_WAIT_S and not self._noted:
            self._noted = True
            whom = str(self._failure) if self._failure else f"rank {', '.join(map(str, missing))}"
            self._recovery.note("waiting", waits_for=whom, round=self._place.round)
        self._clock.sleep(min(self._poll_s, rest))
        anew = now >= self._next_start
        if anew:
            self._next_start = now + HEARTBEAT_S
        return anew

    def over(self) -> None:
        """Everything is there: what happened on the way is told."""
        if self._stood:
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
        hint = self._mailbox.channel.diagnosis()
        return RanksMissing(self._mailbox.run_id, self._place.round, self._place.step, missing, waited, hint)


def through_faults(start: Callable[[Snapshot | None], None], course: Callable[[], Answer]) -> Answer:
    """Runs a course of rounds to its end, from the beginning again whenever this rank goes on from another's state.

    Args:
        start: Takes the state to go on from, None at first.
        course: Trains and returns what came of it.
    """
    snapshot: Snapshot | None = None
    while True:
        try:
            start(snapshot)
            return course()
        except Rejoin as rejoin:
            snapshot = rejoin.snapshot
