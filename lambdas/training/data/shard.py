"""One rank's rows, split into those that train and those that validate."""

from dataclasses import dataclass

from training.model.base import Classes, Rows


@dataclass(frozen=True, slots=True)
class Shard:
    """One rank's rows.

    Attributes:
        x: Training rows (rows, features).
        y: Their classes (rows,).
        valid_x: Validation rows; there may be none.
        valid_y: Their classes.
    """

    x: Rows
    y: Classes
    valid_x: Rows
    valid_y: Classes
