"""Choose the rows that validate by a column: whole groups, or the last rows in time.

The values of the column are counted in the first pass; in the second, each row's value decides.
Memory: some 100 bytes for each different value of the column.
"""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.datasets.tables.source import TableBlock
from harness.datasets.tables.spec import TableOptions
from harness.datasets.tables.values import read_values
from training.errors import InputError

if TYPE_CHECKING:
    import polars as pl


class Split:
    """Choose the rows that validate.

    Args:
        options: Name the column.
        valid_ratio: The share of rows that validate, as near as groups allow.
        seed: Determines which groups validate.
        typed: Whether the format of the table has types.
        source: The table's name in errors.

    Raises:
        InputError: The share is 0.
    """

    def __init__(self, options: TableOptions, valid_ratio: float, seed: int, *, typed: bool, source: str) -> None:
        if not valid_ratio:
            flag = "--split-time" if options.split_time else "--split-by"
            raise InputError(
                f"{flag} `{options.split}`: with a valid ratio of 0 no rows validate\n"
                f"leave {flag} out, or give --valid-ratio above 0"
            )
        self._column, self._by_time = str(options.split), options.split_time is not None
        self._valid_ratio, self._seed, self._typed, self._source = valid_ratio, seed, typed, source
        self._counts: dict[Any, int] = {}
        self._threshold: Any = None
        self._groups: list[Any] | None = None

    def count(self, block: TableBlock) -> None:
        """Count the values of the next rows.

        Raises:
            InputError: A value is missing, or is no time that can be ordered.
        """
        values = self._values(block)
        if values.null_count():
            place = block.place(int(values.is_null().arg_max() or 0))
            raise InputError(f"{place}: column `{self._column}` has no value; it decides which rows validate")
        found = values.alias("value").value_counts(name="rows")
        for value, rows in zip(found["value"].to_list(), found["rows"].to_list(), strict=True):
            self._counts[value] = self._counts.get(value, 0) + rows

    def decide(self) -> None:
        """Choose the values whose rows validate, after all rows were counted.

        Raises:
            InputError: All rows have one value, or numbers and text are mixed.
        """
        where = f"{self._source}: column `{self._column}`"
        if len({type(value) is str for value in self._counts}) > 1:
            raise InputError(f"{where}: holds numbers and text; it must hold one of them to order rows")
        if len(self._counts) < 2:
            raise InputError(f"{where}: has the same value in all rows, so it cannot split them")
        wanted = self._valid_ratio * sum(self._counts.values())
        if self._by_time:
            self._decide_time(wanted)
        else:
            self._decide_groups(wanted)

    def validates(self, block: TableBlock) -> npt.NDArray[np.bool_]:
        """Return which rows of a block validate."""
        import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

        values = self._values(block)
        if self._groups is not None:
            groups = pl.Series(self._groups, dtype=values.dtype)
            return np.asarray(values.is_in(groups.implode()).to_numpy(), np.bool_)
        if self._threshold is None:
            return np.zeros(len(values), np.bool_)
        return np.asarray((values >= self._threshold).to_numpy(), np.bool_)

    def _decide_time(self, wanted: float) -> None:
        later, best = 0, wanted
        for value in sorted(self._counts, reverse=True)[:-1]:
            later += self._counts[value]
            if abs(later - wanted) >= best:
                break
            self._threshold, best = value, abs(later - wanted)

    def _decide_groups(self, wanted: float) -> None:
        self._groups, rows = [], 0
        for value in sorted(self._counts, key=self._draw)[:-1]:
            # A group that is too large for what is left trains.
            if abs(rows + self._counts[value] - wanted) < abs(rows - wanted):
                self._groups.append(value)
                rows += self._counts[value]

    def _draw(self, value: object) -> bytes:
        return hashlib.sha256(f"{self._seed}:{value}".encode()).digest()

    def _values(self, block: TableBlock) -> "pl.Series":
        series = block.frame[self._column]
        if series.dtype.is_nested():
            raise InputError(
                f"{self._source}: column `{self._column}`: {series.dtype}, not single values\n"
                "choose another column for --split-by or --split-time"
            )
        if series.dtype.is_temporal():
            return series.to_physical()
        values = read_values(series, typed=self._typed)
        if not self._by_time:
            return values.plain
        if values.numbers is not None and values.numbers.null_count() == values.plain.null_count():
            return values.numbers
        _check_iso(values.plain, block, self._column)
        return values.plain


def _check_iso(values: "pl.Series", block: TableBlock, column: str) -> None:
    """Refuse times whose order is not that of their text.

    Raises:
        InputError: A value does not begin with year, month and day.
    """
    wrong = values.is_not_null() & ~values.str.contains(r"^\d{4}-\d{2}-\d{2}")
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise InputError(
            f"{block.place(row)}: column `{column}`: `{values[row]}` has no order\n"
            "--split-time needs numbers, or times such as 2026-12-31 or 2026-12-31T23:59:59"
        )
