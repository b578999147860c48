"""The values of a table: which count as missing, as numbers, as false and true, and as dates."""

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars as pl

# As pandas' read_csv, and the question mark of the UCI repository.
_WORDS = "? NA N/A n/a #N/A #NA <NA> NaN nan -NaN -nan NULL null None"
MISSING = frozenset(["", *_WORDS.split()])
TRUE, FALSE = "true", "false"
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
# ISO 8601, and what spreadsheets write: 31.12.2026, 12/31/26, each with a time or without.
_DAY = r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[/.-]\d{1,2}[/.-](\d{2}|\d{4}))"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
# As in most of Europe; a text that is written so is no category.
DECIMAL_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+")
DATE = rf"^{_DAY}([ T]{_CLOCK}.*)?$|^{_CLOCK}$"


def is_missing(text: str) -> bool:
    """Return whether a value of a text stands for nothing."""
    return text.strip() in MISSING


def is_number(text: str) -> bool:
    """Return whether a value of a text is a number."""
    return _NUMBER.fullmatch(text) is not None


class Values(NamedTuple):
    """One column of a block, read.

    Attributes:
        plain: The values, null where one is missing; text without blanks around it.
        numbers: Their numbers in double precision, null where a value is missing or no number; None for a column
            whose type is text and not the format's lack of types.
    """

    plain: "pl.Series"
    numbers: "pl.Series | None"


def read_values(series: "pl.Series", *, typed: bool) -> Values:
    """Read a column: missing values become null, and numbers are found in text.

    In text the words of `MISSING` are missing, in fractions NaN is.
    Categories and enumerations become text, decimals fractions.

    Args:
        series: A column of text, numbers, or false and true.
        typed: Whether text is text, as in Parquet; otherwise it may hold numbers, as in CSV.
    """
    import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

    if isinstance(series.dtype, pl.Categorical | pl.Enum):
        series = series.cast(pl.String)
    if series.dtype != pl.String:
        numbers = series.cast(pl.Float64)
        if series.dtype.is_float() or series.dtype.is_decimal():
            numbers = numbers.fill_nan(None)
            series = numbers
        return Values(series, numbers)
    if typed:
        return Values(series, None)
    numbers = series.cast(pl.Float64, strict=False)
    if numbers.null_count() == series.null_count() and not numbers.is_nan().any():
        return Values(series, numbers)
    text = series.str.strip_chars()
    text = text.to_frame().select(pl.when(~pl.all().is_in(list(MISSING))).then(pl.all())).to_series()
    return Values(text, text.cast(pl.Float64, strict=False).fill_nan(None))
