"""One rank's rows, split into those that train and those that validate."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from training.data.scaling import TargetScaling
from training.model.base import Rows, Targets


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """One rank's rows of the test set: rows `x` with their classes or targets `y`."""

    x: Rows
    y: Targets


@dataclass(frozen=True, slots=True)
class Shard:
    """One rank's rows.

    Attributes:
        x: Training rows (rows, features).
        y: Their classes (rows,), int64; in a regression their targets, float32.
        valid_x: Validation rows; there may be none.
        valid_y: Their classes or targets.
        test: Rows of the test set, on which the trained model is measured; None for a job without one.
        target: The scaling of the targets; None for classes, and for targets as they are.
        rows_are_ours: Whether nobody else holds the rows, so that they may be overwritten by scaled ones.
    """

    x: Rows
    y: Targets
    valid_x: Rows
    valid_y: Targets
    test: HeldOutRows | None = None
    target: TargetScaling | None = None
    rows_are_ours: bool = False

    def with_targets(self, change: Callable[[Targets], Targets]) -> "Shard":
        """Return the rows with changed classes or targets."""
        test = self.test and replace(self.test, y=change(self.test.y))
        return replace(self, y=change(self.y), valid_y=change(self.valid_y), test=test)

    def with_rows(self, change: Callable[[Rows], Rows]) -> "Shard":
        """Return the rows with changed features."""
        test = self.test and replace(self.test, x=change(self.test.x))
        return replace(self, x=change(self.x), valid_x=change(self.valid_x), test=test)
