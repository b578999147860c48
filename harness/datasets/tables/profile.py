"""Look at every row of a table once, in bounded memory: the types, ranges and missing values of its columns.

No type is guessed from the first rows: a column is numeric if all of its values are numbers.
"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from harness.datasets.tables.source import Table, TableBlock
from harness.datasets.tables.values import DATE, FALSE, TRUE, Values, read_values
from training.data.libsvm import FLOAT32_OVERFLOW

if TYPE_CHECKING:
    import polars as pl

# Only so many characters of a value are shown in errors.
_LONGEST_SHOWN = 40


class ColumnProfile:
    """The values of a column.

    Attributes:
        name: Its name.
        rows: Number of rows.
        missing: Number of missing values.
        first_missing: The place of the first of them.
        numbers: Number of values that are finite numbers.
        infinite: The place of the first number that is not finite in single precision.
        whole: Whether all numbers are whole.
        least: The smallest number.
        largest: The largest number.
        total: The sum of the numbers.
        last: The last number.
        first_text: The place and the value of the first value that is no number.
        counts: The number of rows of each different value; None if there are more than `most`.
        most: The largest number of different values that are counted.
        dates: Whether all values so far are dates.
        boolean: Whether the column's type is false and true.
        refused: The name of a type that no feature can have, such as a list; None for others.
        rising: Whether each number is 1 more than that of the row before.
    """

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.rows = self.missing = self.numbers = 0
        self.first_missing: str | None = None
        self.infinite: str | None = None
        self.whole = True
        self.least, self.largest, self.total, self.last = float("inf"), float("-inf"), 0.0, 0.0
        self.first_text: tuple[str, str] | None = None
        self.counts: Counter[str | int | float | bool] | None = Counter()
        self.dates = self.rising = True
        self.boolean = False
        self.refused: str | None = None

    @property
    def present(self) -> int:
        """Return the number of values."""
        return self.rows - self.missing

    @property
    def is_numeric(self) -> bool:
        """Return whether all values are numbers."""
        return self.first_text is None and not self.boolean

    @property
    def is_boolean(self) -> bool:
        """Return whether all values are false or true, by type or by word."""
        if self.boolean:
            return True
        return bool(self.counts) and all(str(value).lower() in {FALSE, TRUE} for value in self.counts or ())

    @property
    def distinct(self) -> int | None:
        """Return the number of different values; None if there are too many to count."""
        return None if self.counts is None else len(self.counts)

    @property
    def mean(self) -> float:
        """Return the mean of the numbers."""
        return self.total / max(1, self.numbers)

    @property
    def is_constant(self) -> bool:
        """Return whether all values are equal."""
        return self.present > 0 and (self.distinct == 1 or (self.is_numeric and self.least == self.largest))

    def take(self, series: "pl.Series", block: TableBlock, *, typed: bool) -> None:
        """Count the values of the next rows."""
        import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

        self.rows += len(series)
        if refused := _refused(series.dtype):
            self.refused = refused
            self.missing += series.null_count()
            return
        if series.dtype.is_temporal():
            self.missing += series.null_count()
            self._note_text(series, block)
            self.counts = None
            return
        values = read_values(series, typed=typed)
        if series.dtype == pl.Boolean:
            self.boolean = True
        if nulls := values.plain.null_count():
            self.first_missing = self.first_missing or block.place(int(values.plain.is_null().arg_max() or 0))
            self.missing += nulls
        if values.numbers is not None and not self.boolean:
            self._take_numbers(values, block)
        if values.plain.dtype == pl.String:
            self._take_text(values, block)
        if self.counts is not None:
            self._count(values.plain.drop_nulls())

    def _take_numbers(self, values: Values, block: TableBlock) -> None:
        if values.numbers is None:
            return
        numbers = values.numbers.to_numpy()  # NaN is missing
        present = numbers[~np.isnan(numbers)] if values.numbers.null_count() else numbers
        if not len(present):
            return
        least, largest = float(present.min()), float(present.max())
        if self.infinite is None and max(-least, largest) >= FLOAT32_OVERFLOW:
            self.infinite = block.place(int((np.abs(numbers) >= FLOAT32_OVERFLOW).argmax()))
        start = self.last + 1 if self.numbers else present[0]
        self.rising = self.rising and bool(present[0] == start and (np.diff(present) == 1).all())
        self.last = float(present[-1])
        self.numbers += len(present)
        self.whole = self.whole and bool((present == np.floor(present)).all())
        self.least, self.largest = min(self.least, least), max(self.largest, largest)
        self.total += float(present.sum())

    def _take_text(self, values: Values, block: TableBlock) -> None:
        text = values.plain
        none = text.is_not_null() if values.numbers is None else text.is_not_null() & values.numbers.is_null()
        if not none.any():
            self.dates = self.dates and not text.is_not_null().any()
            return
        if self.first_text is None:
            self._note_text(text.filter(none), block, int(none.arg_max() or 0))
        if self.dates:
            self.dates = none.sum() == text.is_not_null().sum() and bool(text.drop_nulls().str.contains(DATE).all())

    def _note_text(self, series: "pl.Series", block: TableBlock, row: int = 0) -> None:
        present = series.drop_nulls()
        if self.first_text is None and len(present):
            self.first_text = (block.place(row), str(present[0])[:_LONGEST_SHOWN])

    def _count(self, present: "pl.Series") -> None:
        if self.counts is None or not len(present):
            return
        found = present.alias("value").value_counts(name="rows")
        if len(found) > self.most:
            self.counts = None
            return
        self.counts.update(dict(zip(found["value"].to_list(), found["rows"].to_list(), strict=True)))
        if len(self.counts) > self.most:
            self.counts = None


class TableProfile:
    """The columns of a table.

    Attributes:
        name: The table's name in errors.
        rows: Number of rows.
        columns: Its columns, by name, in their order.
    """

    def __init__(self, table: Table, most: "dict[str, int] | int") -> None:
        self.name, self.rows = table.name, 0
        self.columns = {
            name: ColumnProfile(name, most if isinstance(most, int) else most[name]) for name in table.columns
        }

    def take(self, block: TableBlock, *, typed: bool) -> None:
        """Count the values of the next rows.

        Args:
            block: The rows.
            typed: Whether the format has types; text in it is text.
        """
        self.rows += block.frame.height
        for series in block.frame:
            self.columns[series.name].take(series, block, typed=typed)


def _refused(dtype: "pl.DataType") -> str | None:
    import polars as pl  # noqa: PLC0415 - as above

    if isinstance(dtype, pl.List | pl.Array):
        return "lists"
    if isinstance(dtype, pl.Struct):
        return "structures"
    if dtype == pl.Binary:
        return "bytes"
    if dtype == pl.Object:
        return "objects"
    texts = isinstance(dtype, pl.String | pl.Categorical | pl.Enum)
    if texts or dtype.is_numeric() or dtype.is_temporal() or isinstance(dtype, pl.Boolean | pl.Null):
        return None
    return f"values of type {dtype}"
