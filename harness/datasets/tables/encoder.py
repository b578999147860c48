"""Turn rows of a table into features and labels by a schema, whether it was made from these rows or from others."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from harness.datasets.tables.source import TableBlock
from harness.datasets.tables.values import FALSE, TRUE, Values, read_values
from training.data.dataset import Dataset
from training.data.schema import Column, Schema
from training.errors import InputError

if TYPE_CHECKING:
    import polars as pl

# The label of a row whose class the schema lacks.
UNKNOWN_CLASS = -1.0
# Different unknown categories of a column that are kept; a column of names has a new one in each row.
MOST_UNSEEN, OTHERS = 1000, "..."
_MOST_SHOWN = 6

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Encoder:
    """Turn blocks of a table into rows.

    Args:
        schema: The schema.
        typed: Whether the format has types; text in it is text.
        label: The label column; None for labels of 0.
        unknown_labels: What becomes of a label that the schema lacks, or of a missing one: an error, or `UNKNOWN_CLASS`
            (in targets NaN), and no row is left out for its label.

    Attributes:
        dropped: Number of rows that were left out because a value is missing.
        unseen: The number of rows with each category that the schema lacks, by column; its features are 0, or -1 for
            an ordinal column. Beyond `MOST_UNSEEN` different ones, only the rows are counted, as `OTHERS`.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        typed: bool,
        label: str | None,
        unknown_labels: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        self.dropped = 0
        self.unseen: dict[str, Counter[str]] = {}
        self._schema, self._typed, self._label, self._unknown = schema, typed, label, unknown_labels

    def encode(self, block: TableBlock) -> tuple[Dataset, Mask]:
        """Return the rows of a block that are not left out, and which rows of the block these are.

        Raises:
            InputError: A value is missing, is no number or has no class; the message gives its place.
        """
        frame, schema = block.frame, self._schema
        x = np.zeros((frame.height, schema.n_features), np.float32)
        keep = np.ones(frame.height, np.bool_)
        at = 0
        for column in schema.columns:
            self._fill(x[:, at : at + column.width], column, frame[column.name], block, keep)
            at += column.width
        y = np.zeros(frame.height, np.float32)
        if self._label is not None:
            y = self._labels(frame[self._label], block, keep)
        if not keep.all():
            self.dropped += int((~keep).sum())
            x, y = x[keep], y[keep]
        return Dataset(x, y), keep

    def notes(self) -> list[str]:
        """Return what the user should know about the rows so far, one line each."""
        lines = [f"{self.dropped:,} rows with missing values are left out"] if self.dropped else []
        for name, counts in self.unseen.items():
            named = [value for value, _ in counts.most_common(_MOST_SHOWN + 1) if value != OTHERS]
            shown = ", ".join(f"`{value}`" for value in named[:_MOST_SHOWN])
            more = " ..." if len(counts) > _MOST_SHOWN else ""
            rows = f"{counts.total():,} row{'s' if counts.total() != 1 else ''}"
            lines.append(f"column `{name}`: categories that the model never saw, in {rows}: {shown}{more}")
        return lines

    def _fill(self, x: Floats, column: Column, series: "pl.Series", block: TableBlock, keep: Mask) -> None:
        if column.kind == "numeric":
            values = read_values(series, typed=False)
            x[:, 0] = _finite(values, column, block)
        elif column.kind == "boolean":
            values = read_values(series, typed=False)
            x[:, 0] = _truth(values, column, block)
        else:
            values = read_values(series, typed=self._typed)
            codes = self._codes(values.plain, column)
            if column.kind == "ordinal":
                x[:, 0] = codes
            else:
                rows = np.flatnonzero(codes >= 0)
                x[rows, codes[rows]] = 1
        if not values.plain.null_count():
            return
        missing = values.plain.is_null().to_numpy()
        if column.missing == "refuse":
            raise InputError(
                f"{block.place(int(missing.argmax()))}: column `{column.name}` has no value\n"
                "the training data had none missing; fill it, or train with --missing mean or zero"
            )
        if column.missing == "drop":
            keep &= ~missing
        x[missing] = column.fill or 0.0

    def _codes(self, plain: "pl.Series", column: Column) -> npt.NDArray[np.int32]:
        import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

        texts = plain.cast(pl.String)
        codes = texts.replace_strict(
            column.categories, list(range(len(column.categories))), default=-1, return_dtype=pl.Int32
        ).fill_null(-1)
        unseen = texts.filter((codes < 0) & texts.is_not_null())
        if len(unseen):
            counts = self.unseen.setdefault(column.name, Counter())
            for value in unseen.to_list():
                counts[value if value in counts or len(counts) < MOST_UNSEEN else OTHERS] += 1
        return codes.to_numpy()

    def _labels(self, series: "pl.Series", block: TableBlock, keep: Mask) -> Floats:
        values = read_values(series, typed=self._typed)
        if nulls := values.plain.null_count():
            missing = values.plain.is_null().to_numpy()
            dropped = self._unknown == "refuse" and any(column.missing == "drop" for column in self._schema.columns)
            if self._unknown == "refuse" and not dropped:
                raise InputError(
                    f"{block.place(int(missing.argmax()))}: the label `{series.name}` is missing, as in {nulls:,} rows"
                )
            if dropped:
                keep &= ~missing
        if self._schema.classes is None:
            column = Column(name=series.name, kind="numeric")
            targets = _finite(read_values(series, typed=False), column, block)
            return np.where(values.plain.is_null().to_numpy(), np.float32(np.nan), targets)
        classes = _classes(values.plain, self._schema.classes)
        unknown = (classes < 0) & values.plain.is_not_null().to_numpy()
        if self._unknown == "refuse" and unknown.any():
            row = int(unknown.argmax())
            known = ", ".join(map(str, self._schema.classes[:_MOST_SHOWN]))
            raise InputError(
                f"{block.place(row)}: label `{series[row]}` is none of the {len(self._schema.classes):,} classes\n"
                f"the classes are {known}" + (" ..." if len(self._schema.classes) > _MOST_SHOWN else "")
            )
        return classes


def _finite(values: Values, column: Column, block: TableBlock) -> Floats:
    """Return a column's numbers; those of missing values have no meaning."""
    numbers = values.numbers
    if numbers is None or numbers.null_count() != values.plain.null_count():
        wrong = values.plain.is_not_null() if numbers is None else values.plain.is_not_null() & numbers.is_null()
        row = int(wrong.arg_max() or 0)
        raise InputError(f"{block.place(row)}: column `{column.name}`: `{values.plain[row]}` is no number")
    with np.errstate(over="ignore"):
        found = numbers.fill_null(0).to_numpy().astype(np.float32)
    if not np.isfinite(found).all():
        row = int((~np.isfinite(found)).argmax())
        raise InputError(
            f"{block.place(row)}: column `{column.name}`: {values.plain[row]} is infinite or beyond single precision"
        )
    return found


def _truth(values: Values, column: Column, block: TableBlock) -> Floats:
    import polars as pl  # noqa: PLC0415 - as above

    words = values.plain.cast(pl.String).str.to_lowercase()
    known = words.replace_strict([FALSE, TRUE, "0", "1"], [0.0, 1.0, 0.0, 1.0], default=None, return_dtype=pl.Float32)
    wrong = known.is_null() & words.is_not_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise InputError(f"{block.place(row)}: column `{column.name}`: `{values.plain[row]}` is neither false nor true")
    return known.fill_null(0).to_numpy()


def _classes(plain: "pl.Series", classes: list[Any]) -> Floats:
    """Return the class of each label; `UNKNOWN_CLASS` for one that there is none for."""
    import polars as pl  # noqa: PLC0415 - as above

    known: list[Any] = list(classes)
    if all(isinstance(label, bool) for label in known):
        labels, known = plain.cast(pl.String).str.to_lowercase(), [str(label).lower() for label in known]
    elif all(isinstance(label, int) for label in known):
        fractions = plain.cast(pl.Float64, strict=False)
        labels = fractions.set(fractions != fractions.floor(), None).cast(pl.Int128, strict=False)
        if not plain.dtype.is_float():
            # Exact beyond 2**53 too.
            exact = plain.cast(pl.Int128, strict=False)
            labels = exact.zip_with(exact.is_not_null(), labels)
    elif all(isinstance(label, int | float) for label in known):
        labels, known = plain.cast(pl.Float64, strict=False), list(map(float, known))
    else:
        labels = plain.cast(pl.String)
    found = labels.replace_strict(
        pl.Series(known, dtype=labels.dtype), list(range(len(known))), default=UNKNOWN_CLASS, return_dtype=pl.Float32
    )
    return found.fill_null(UNKNOWN_CLASS).to_numpy()
