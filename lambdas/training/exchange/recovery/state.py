"""The state of one rank's recovery: what it hears goes in, actions come out. It reads and writes nothing itself."""

from collections.abc import Mapping, Sequence

import msgspec

from training.exchange.held import HeldFrames
from training.exchange.keys import Place
from training.exchange.recovery.peers import Peers
from training.exchange.recovery.rules import (
    NOBODY,
    HandOver,
    KeepPolling,
    Phase,
    Position,
    Publish,
    Republish,
    TakeSnapshot,
    decide,
)

HEARTBEAT_S = 0.25
ASK_AGAIN_S = 1.0


class RecoveryState:
    """Where a rank waits, what it knows of the others, and what it has asked and answered.

    Args:
        rank: The rank.
        token: Names this try of the rank.
        attempt: Which try it is, from 1.
        others: The other ranks.

    Attributes:
        own: This rank's position.
        peers: The others' positions.
    """

    def __init__(self, rank: int, token: str, attempt: int, others: Sequence[int]) -> None:
        self.own = Position(rank, token, attempt, phase=Phase.NEW)
        self.peers = Peers(others)
        self._answered: set[tuple[str, int]] = set()
        self._asked_at = self._next_heartbeat = self._next_republish = 0.0

    def begin_round(self, number: int, phase: Phase) -> None:
        """Enter a round."""
        self.own = msgspec.structs.replace(self.own, phase=phase, round=number, asks=NOBODY)

    def observe(
        self,
        positions: Mapping[int, Position],
        place: Place,
        missing: Sequence[int],
        held: HeldFrames,
        now: float,
    ) -> Publish | KeepPolling:
        """Take in what a poll found; return the position to write: with every heartbeat, on a change, and on news.

        Args:
            positions: The positions of the other ranks that wait.
            place: What is waited for.
            missing: The ranks whose frames are missing.
            held: The frames that this rank can republish.
            now: The clock.
        """
        news = self.peers.hear(positions, now)
        own = msgspec.structs.replace(
            self.own,
            round=place.round,
            step=place.step,
            missing=tuple(missing),
            holds_from=held.holds_from,
            began_at=held.began_at,
        )
        if news or now >= self._next_heartbeat or own != self.own:
            self.own = own
            return self._publish(now)
        return KeepPolling()

    def next_action(self, now: float) -> Publish | Republish | HandOver | KeepPolling:
        """Return what to do now. To take a snapshot is to publish a position that asks for it."""
        live = self.peers.live(now)
        action = decide(self.own, live, answered=self._answered, settled=self.peers.settled(live, now))
        if isinstance(action, TakeSnapshot):
            if self.own.asks == action.donor and now - self._asked_at < ASK_AGAIN_S:
                return KeepPolling()
            self.own = msgspec.structs.replace(self.own, asks=action.donor, question=self.own.question + 1)
            self._asked_at = now
            return self._publish(now)
        if isinstance(action, Republish):
            if now < self._next_republish:
                return KeepPolling()
            self._next_republish = now + HEARTBEAT_S
        return action

    def answered(self, asking: Position) -> None:
        """Note that a rank's question was answered."""
        self._answered.add((asking.token, asking.question))

    def stop_asking(self) -> None:
        """Note that the snapshot arrived or cannot be read; the rules decide whether to ask again."""
        self.own = msgspec.structs.replace(self.own, asks=NOBODY)

    def resumes_before(self, round_number: int) -> bool:
        """Return whether to resume from a state before this round.

        A rank that trains goes back for others, or forward if it was left behind. Its donor may have moved on.
        """
        elsewhere = round_number < self.own.began_at or round_number > self.own.round
        return self.own.phase == Phase.NEW or elsewhere

    def _publish(self, now: float) -> Publish:
        self.own = msgspec.structs.replace(self.own, heartbeat=self.own.heartbeat + 1)
        self._next_heartbeat = now + HEARTBEAT_S
        return Publish(self.own)
