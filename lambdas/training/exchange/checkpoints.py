"""What the exchange needs of a run's checkpoints; `training.run.checkpoint` has them."""

from typing import Protocol


class Checkpoints(Protocol):
    """The checkpoints of a run, for when no rank is left that trains."""

    def newest(self) -> int:
        """Return the round after which the newest whole checkpoint was taken; 0 when there is none."""

    def save(self, round_number: int, shared: bytes, private: bytes | None) -> None:
        """Store this rank's share of a checkpoint; every rank calls it after the same round."""

    def load(self, round_number: int) -> tuple[bytes, bytes | None]:
        """Return the state that all ranks share, and what this rank alone had."""
