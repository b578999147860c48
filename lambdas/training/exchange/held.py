"""The frames that a rank has sent and still holds, so that it can store them again.

No rank is more than one round ahead of another, so those of two rounds are enough; only `async` needs more.
"""

from training.exchange.channel.base import Value


class HeldFrames:
    """One rank's sent frames by round.

    Attributes:
        holds_from: The first round whose frames are held.
        began_at: The first round that was computed since this rank came in, or came back.
    """

    def __init__(self) -> None:
        self.holds_from = self.began_at = 0
        self._rounds: dict[int, dict[str, Value]] = {}

    def add(self, round_number: int, pieces: dict[str, Value]) -> None:
        """Hold the pieces of a round's frames from now on; they must not change any more."""
        held = self._rounds.get(round_number)
        if held is None:
            self._rounds[round_number] = pieces.copy()
        else:
            held.update(pieces)

    def all(self) -> dict[str, Value]:
        """Return all pieces by key, in the order of their rounds."""
        return {key: piece for number in sorted(self._rounds) for key, piece in self._rounds[number].items()}

    def release(self, round_number: int) -> list[str]:
        """Let go of all rounds up to this one; return their keys."""
        self.holds_from = max(self.holds_from, round_number + 1)
        # Round 0 may be followed by any round: only a whole round later are all ranks past it.
        in_use = 0 if len(self._rounds) == 1 else None
        keys: list[str] = []
        for number in list(self._rounds):
            if number <= round_number and number != in_use:
                keys += self._rounds.pop(number)
        return keys

    def leave_round_0(self, round_number: int) -> None:
        """Begin the rounds after round 0, which may be those after a checkpoint."""
        if round_number > 1:
            self.holds_from = self.began_at = round_number

    def start_at(self, round_number: int) -> None:
        """Start over at a round: what is held belongs to rounds that this rank computes again, or never reaches."""
        self._rounds.clear()
        self.holds_from = self.began_at = round_number
