"""The other ranks as their positions show them: who waits now, and who came back or made progress."""

from collections.abc import Mapping, Sequence

from training.exchange.recovery.rules import Position

# A rank whose heartbeat did not move for this time no longer waits, or never did.
LIVE_S = 1.0
# A new rank listens for this time before it decides who is furthest behind.
LISTEN_S = 0.1


class Peers:
    """What one rank has heard of the others.

    Args:
        others: The other ranks.
    """

    def __init__(self, others: Sequence[int]) -> None:
        self._others = others
        self._heard: dict[int, tuple[Position, float]] = {}
        self._moved: dict[int, float] = {}
        self._first_heard = 0.0

    def hear(self, positions: Mapping[int, Position], now: float) -> bool:
        """Take in the positions that a poll found; return whether one is new or asks, and so waits for an answer."""
        news = False
        for rank in self._others:
            position = positions.get(rank)
            known, _ = self._heard.get(rank, (None, 0.0))
            if position is None:
                if known is not None:  # it no longer waits
                    self._heard[rank] = (known, 0.0)
                continue
            if known is None:
                self._heard[rank] = (position, 0.0)  # it may be old: only a heartbeat that moves is alive
                self._moved[rank] = now
                news = True
                continue
            news |= (known.token, known.question) != (position.token, position.question)
            if (known.token, known.round, known.phase) != (position.token, position.round, position.phase):
                self._moved[rank] = now
            if (known.token, known.heartbeat) != (position.token, position.heartbeat):
                self._heard[rank] = (position, now)
        return news

    def live(self, now: float) -> list[Position]:
        """Return the positions of the ranks that wait now."""
        live = [position for position, moved_at in self._heard.values() if moved_at > 0 and now - moved_at < LIVE_S]
        if not live:
            self._first_heard = now
        return live

    def settled(self, live: Sequence[Position], now: float) -> bool:
        """Return whether every rank that might be further behind has had the time to say so."""
        return len(live) == len(self._others) or now - self._first_heard >= LISTEN_S

    def last_sign_of(self, ranks: Sequence[int]) -> float:
        """Return when one of these ranks last came back or made progress; 0 if never."""
        return max((self._moved.get(rank, 0.0) for rank in ranks), default=0.0)
