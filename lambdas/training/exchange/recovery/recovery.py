"""Recovery around the plain collectives: what a rank does when a wait becomes long.

Invariant: whatever it does, every rank continues with the bits that an undisturbed run would have.
Frames are republished unchanged, and a state is handed over as it was before a round, so that everything after it is
computed again from the same values.

    a wait of rank 0, whose peer 1 died and comes back as attempt 2

    0 ---- 0.25 s ------------------------------------------------------------------------- time
    poll   | position (round 7, missing 1), again every 0.25 s ...
           |                   1 comes back: new, sees the positions, asks 0
           |                   | 0 writes its state before round 7
           |                   |   | 1 takes it, computes round 7 | stores its frames
           |                   |   |                              | 0 continues

Without a fault none of this runs: the layer costs a reference to the state and to the frames of two rounds.

`training.exchange.recovery.state` says what to do; `Recovery` is the one place that does it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from training.errors import ChannelError, DamagedFrame, DuplicateDelivery
from training.exchange.channel.base import Value
from training.exchange.channel.retrying import RetryingChannel
from training.exchange.frame import MOST_COUNT
from training.exchange.keys import Place, pieces_of
from training.exchange.mailbox import Mailbox
from training.exchange.notes import Note, silent
from training.exchange.packing import pack_state
from training.exchange.recovery.peers import Peers
from training.exchange.recovery.private_state import PrivateState
from training.exchange.recovery.rejoin import Rejoin
from training.exchange.recovery.revival import LeaseWatch, Revive
from training.exchange.recovery.rollback import Rollback
from training.exchange.recovery.rules import (
    NOBODY,
    HandOver,
    KeepPolling,
    Phase,
    Position,
    Publish,
    Republish,
    pack_position,
    read_position,
)
from training.exchange.recovery.snapshots import Agreed, Snapshot, read_snapshot, snapshot_keys
from training.exchange.recovery.state import RecoveryState

logger = logging.getLogger(__name__)

# A long wait first asks this soon whether the run is done without this rank, then ever less often.
FIRST_QUESTION_GAP_S = 1.0
LONGEST_QUESTION_GAP_S = 16.0


class Recovery:
    """The recovery of one rank.

    Args:
        mailbox: This rank's mailbox.
        token: Names this try of the rank; no other try has the same.
        check: Called before every round and on every long wait; raises `DuplicateDelivery` when this rank must stop.
        note: Told what recovery did.
        is_done: Whether all ranks have stored their results; asked now and then in a long wait.
        revive: Invokes the event of a rank that is dead; None to leave that to Lambda.
        link: Which link of the chain of functions this is.

    Attributes:
        mailbox: This rank's mailbox.
        channel: Its channel, with retries.
        private: This rank's private state in the channel.
        rollback: In which generation of the run this rank is.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        token: str,
        check: Callable[[], None] = lambda: None,
        note: Note = silent,
        is_done: Callable[[], bool] = lambda: False,
        revive: Revive | None = None,
        link: int = 1,
    ) -> None:
        self.mailbox, self.note = mailbox, note
        self.channel = RetryingChannel(mailbox.channel, mailbox.clock, check, note)
        self.rollback = Rollback(mailbox, note)
        self.private = PrivateState(mailbox, self.channel, self.rollback)
        self._check, self._is_done = check, is_done
        self._is_outdated: Callable[[], bool] = lambda: False
        self._state = RecoveryState(mailbox.rank, token, mailbox.attempt, mailbox.others)
        self._revive, self._leases = revive, LeaseWatch(mailbox.rank, mailbox.others, link)
        self._read_leases: list[int] = []
        self._agreed: dict[str, Agreed] = {}
        self._last_round = MOST_COUNT
        self._training_state: object = None
        self._earlier_state: object = b""
        self._inherited = (0, b"")
        self._question_gap_s = FIRST_QUESTION_GAP_S
        self._next_question = mailbox.clock.now() + self._question_gap_s

    def start(
        self, snapshot: Snapshot | None, agreed: dict[str, Agreed], is_outdated: Callable[[], bool] = lambda: False
    ) -> None:
        """Enter the run, or resume from another rank's state.

        Args:
            snapshot: That state; None to join in round 0.
            agreed: The totals of round 0; the caller adds to them.
            is_outdated: Whether this rank joins from a checkpoint that is no longer the newest. A checkpoint may be
                published while ranks are joining, so that some see it and others do not.

        Raises:
            ImpossibleValue: Somebody else writes to the run's keys.
        """
        if snapshot is None:
            self.rollback.find()
            self._inherited = (0, b"")
            self._state.peers = Peers(self.mailbox.others)
        else:
            # Remember the donor's previous state in case this rank becomes a donor itself.
            self._inherited = (snapshot.round, snapshot.earlier)
        self._agreed, self._is_outdated = agreed, is_outdated

    def expect_rounds(self, most: int) -> None:
        """Note the last round that the job can have."""
        self._last_round = most

    def begin_round(
        self, number: int, state: object, phase: Phase, patience_s: float, *, keep_earlier: bool = False
    ) -> None:
        """Note where this rank is, and the state that it could hand over.

        Args:
            number: The round.
            state: The Struct before the round; it must not change any more.
            phase: How far the rank is.
            patience_s: Limit of a wait in this round.
            keep_earlier: Whether the state before the previous round may be needed too.
        """
        self._check()
        if keep_earlier and number == self._state.own.round + 1 > 1:
            self._earlier_state = self._training_state
        else:
            inherited, earlier = self._inherited
            self._earlier_state = earlier if number == inherited else b""
        self._training_state = state
        self._state.begin_round(number, phase)
        self.channel.begin_round(number, patience_s)

    @property
    def is_back(self) -> bool:
        """Whether this rank comes back after another try: others wait for it, so it reports at once."""
        own = self._state.own
        return own.phase == Phase.NEW and own.attempt > 1

    def watched(self) -> list[str]:
        """Return the keys to poll in a long wait.

        They are the others' positions, the snapshot that was asked for, and the leases that this rank watches.
        """
        keys = self.mailbox.keys
        watched = [keys.done, keys.back, *(keys.position(rank) for rank in self.mailbox.others)]
        self._read_leases = self._leases.ranks
        watched += map(keys.lease, self._read_leases)
        return watched if self._state.own.asks == NOBODY else [*watched, self._snapshot_key(self._state.own)]

    def last_sign_of(self, ranks: Sequence[int]) -> float:
        """Return when one of these ranks last came back or made progress; 0 if never."""
        return self._state.peers.last_sign_of(ranks)

    def help(self, place: Place, missing: Sequence[int], found: Mapping[str, bytes], since: float) -> list[str]:
        """Do what the rules say; return what was done, in words.

        Args:
            place: What is waited for.
            missing: The ranks whose frames are missing.
            found: What the last poll found, the watched keys among it.
            since: When the wait began.

        Raises:
            Rejoin: This rank resumes from another's state, or all ranks go back.
            DuplicateDelivery: Another try of this rank runs, or the run is done.
            ImpossibleValue: Somebody else writes to the run's keys.
        """
        self._check()
        now = self.mailbox.clock.now()
        self._check_done(found, now)
        self.rollback.follow(found, place.round, now)
        state = self._state
        self._perform(state.observe(self._positions(found), place, missing, self.mailbox.held, now), place)
        if state.own.asks != NOBODY and (first_piece := found.get(self._snapshot_key(state.own))) is not None:
            self._take(first_piece, since)
        done = self._perform(state.next_action(now), place)
        return [*done, *self._revive_dead(found, now)]

    def withdraw(self) -> None:
        """Remove this rank's position: it no longer waits."""
        try:
            self.mailbox.channel.delete_many([self.mailbox.keys.position(self.mailbox.rank)])
        except ChannelError as error:
            logger.debug("the position stays until it is overwritten: %s", error)

    def _perform(self, action: Publish | Republish | HandOver | KeepPolling, place: Place) -> list[str]:
        """Carry out an action; return what was done, in words."""
        match action:
            case Publish(position):
                self._try_to_store({self.mailbox.keys.position(position.rank): pack_position(position)})
            case HandOver(asking):
                self._hand_over(asking)
                return [f"handed its state to rank {asking.rank}"]
            case Republish(ranks):
                pieces = self.mailbox.held.all()
                self.channel.put_many(pieces)
                self.note("reput", round=place.round, frames=len(pieces), ranks=ranks)
                return ["put its frames again"]
        return []

    def _revive_dead(self, found: Mapping[str, bytes], now: float) -> list[str]:
        """Invoke the events of ranks that are dead; return what was done, in words."""
        if self._revive is None:
            return []
        leases, keys = self._leases, {rank: self.mailbox.keys.lease(rank) for rank in self._leases.ranks}
        # The last poll before a wait becomes long reads frames alone: what it did not find may be there.
        leases.see({rank: found.get(keys[rank]) for rank in self._read_leases}, now)
        self._read_leases = []
        leases.choose([position.rank for position in self._state.peers.live(now)])
        dead = leases.dead(keys, now, all_joined=self._state.own.phase != Phase.NEW)
        for one in dead:
            leases.revived(one, self._revive(one), self.mailbox.clock.now())
        return [f"found rank {one.rank} dead" for one in dead]

    def _check_done(self, found: Mapping[str, bytes], now: float) -> None:
        done = self.mailbox.keys.done in found
        if not done and now >= self._next_question:
            done = self._is_done()
            if not done and self._is_outdated():
                raise Rejoin(None)
            self._question_gap_s = min(2 * self._question_gap_s, LONGEST_QUESTION_GAP_S)
            self._next_question = now + self._question_gap_s
        if done:
            raise DuplicateDelivery("all ranks have stored their results")

    def _positions(self, found: Mapping[str, bytes]) -> dict[int, Position]:
        """Return the positions of the other ranks that a poll found."""
        positions = {}
        # Ranks that have done the last round wait in the one after it.
        last_round = min(self._last_round + 1, MOST_COUNT)
        for rank in self.mailbox.others:
            key = self.mailbox.keys.position(rank)
            if (value := found.get(key)) is not None:
                size = self.mailbox.world_size
                position = read_position(value, key, rank=rank, world_size=size, last_round=last_round)
                if position is not None:
                    positions[rank] = position
        return positions

    def _hand_over(self, asking: Position) -> None:
        own = self._state.own
        snapshot = Snapshot(
            self.mailbox.run_id,
            own.round,
            self._agreed,
            pack_state(self._training_state),
            self._earlier_state if isinstance(self._earlier_state, bytes) else pack_state(self._earlier_state),
            finished=own.phase == Phase.FINISHED,
        )
        body = pack_state(snapshot)
        pieces = pieces_of(self._snapshot_key(asking), body, self.mailbox.channel.max_value_bytes)
        if self._try_to_store(pieces):
            self._state.answered(asking)
            self.note("handed_over", round=snapshot.round, to=asking.rank, bytes=len(body))

    def _take(self, first_piece: bytes, since: float) -> None:
        """Resume from the snapshot, or ask again when it is not whole."""
        channel, own = self.mailbox.channel, self._state.own
        key = self._snapshot_key(own)
        keys = snapshot_keys(key, first_piece, channel.max_value_bytes)
        try:
            found = channel.get_many(keys)
            body = b"".join(found[key] for key in keys)
            snapshot = read_snapshot(
                body,
                key,
                run_id=self.mailbox.run_id,
                last_round=self._last_round,
                asking=own.rank,
                donor=own.asks,
            )
            channel.delete_many(keys)
        except (ChannelError, DamagedFrame, KeyError) as error:
            logger.warning("the snapshot is asked for again: %r", error)
            self._state.stop_asking()
            return
        self._state.stop_asking()
        if self._state.resumes_before(snapshot.round):
            seconds = self.mailbox.clock.now() - since
            self.note("rejoined", round=snapshot.round, bytes=len(body), seconds=seconds)
            raise Rejoin(snapshot)

    def _try_to_store(self, values: Mapping[str, Value]) -> bool:
        """Store what can be stored again later; return whether it was."""
        try:
            self.mailbox.channel.put_many(values)
        except ChannelError as error:
            logger.warning("not stored: %s", error)
            return False
        return True

    def _snapshot_key(self, asking: Position) -> str:
        return self.mailbox.keys.snapshot(asking.rank, asking.token, asking.question)
