"""Features from named columns in memory, with the encoding of the training data; NumPy alone.

A function that predicts has no polars. A file is read by another encoder, which gives the same features.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.schema import Column, Schema
from training.errors import InputError

_MOST_SHOWN = 6
_BOOLEANS = {False: 0.0, True: 1.0, "false": 0.0, "true": 1.0}


class Encoded(NamedTuple):
    """Rows of features.

    Attributes:
        x: float32 (rows, features).
        notes: What the caller should know, one line each: columns and categories that the model never saw.
    """

    x: NDArray[np.float32]
    notes: list[str]


def encode_columns(table: Mapping[str, Any], schema: Schema) -> Encoded:
    """Encode columns by their names; the label's column may be there, and is ignored.

    Args:
        table: A sequence or an array of values by column name; None and NaN are missing values.
        schema: The schema of the training data.

    Raises:
        InputError: A column is missing or unknown, columns differ in length, or a value has no encoding.
    """
    notes = check_names([name for name in table if name != schema.label], schema)
    values = {column.name: _values(table[column.name]) for column in schema.columns}
    lengths = {name: len(found) for name, found in values.items()}
    rows = max(lengths.values(), default=0)
    for name, length in lengths.items():
        if length != rows:
            raise InputError(f"column `{name}` has {length} values, and another has {rows}")
    x, first = np.zeros((rows, schema.n_features), np.float32), 0
    for column in schema.columns:
        note = _encode(column, values[column.name], x[:, first : first + column.width])
        notes += [note] if note else []
        first += column.width
    return Encoded(x, notes)


def check_names(names: Sequence[str], schema: Schema) -> list[str]:
    """Compare the columns of a table, without the label's, with those that a model was trained on.

    Returns:
        What the caller should know, one line each: columns that the model never saw, and that are ignored.

    Raises:
        InputError: Columns are missing; the message has their names, and those of the unknown ones.
    """
    wanted = [column.name for column in schema.columns]
    lacking = [name for name in wanted if name not in names]
    extra = [name for name in names if name not in wanted]
    if lacking:
        beyond = f", and has {_listed(extra)} beyond them" if extra else ""
        raise InputError(
            f"the model was trained on {len(wanted)} columns, and the data lacks {_listed(lacking)}{beyond}\n"
            f"the model's columns: {_listed(wanted)}"
        )
    return [f"columns that the model never saw are ignored: {_listed(extra)}"] if extra else []


def fill_missing(x: NDArray[np.float32], schema: Schema | None) -> NDArray[np.float32]:
    """Return encoded features with the numbers that replaced missing ones in training in place of NaN.

    Raises:
        InputError: A feature is NaN where training had no such number, or is infinite.
    """
    if np.isfinite(x).all():
        return x
    filled = x.copy()
    if schema is not None:
        fills = [column.fill for column in schema.columns for _ in range(column.width)]
        for number, fill in enumerate(fills):
            if fill is not None:
                places = np.isnan(filled[:, number])
                filled[places, number] = fill
    wrong = np.argwhere(~np.isfinite(filled))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InputError(
            f"{len(wrong)} values are no finite numbers, the first in row {row + 1}, column {column + 1}: "
            f"{x[row, column]}\nfill them, or leave these rows out"
        )
    return filled


def _encode(column: Column, values: list[Any], into: NDArray[np.float32]) -> str | None:
    """Write a column's features; return a note about categories that the model never saw."""
    missing = [row for row, value in enumerate(values) if _is_missing(value)]
    if missing and column.missing in {"refuse", "drop"}:
        raise InputError(
            f"column `{column.name}` lacks {len(missing)} values, the first in row {missing[0] + 1}, "
            "and the model was trained on rows without missing values there\nfill them, or leave these rows out"
        )
    if column.kind in {"numeric", "boolean"}:
        fill = column.fill if column.fill is not None else 0.0
        lacking = set(missing)
        into[:, 0] = [fill if row in lacking else _number(column, value, row) for row, value in enumerate(values)]
        return None
    numbers = {category: number for number, category in enumerate(column.categories)}
    found = np.array([-1 if _is_missing(value) else numbers.get(_text(value), -1) for value in values], np.int64)
    if column.kind == "ordinal":
        into[:, 0] = found
    else:
        rows = np.flatnonzero(found >= 0)
        into[rows, found[rows]] = 1
    unknown = sorted({_text(value) for value in values if not _is_missing(value)} - numbers.keys())
    if not unknown:
        return None
    return f"column `{column.name}`: categories that the model never saw: {_listed(unknown)}"


def _number(column: Column, value: object, row: int) -> float:
    try:
        if column.kind == "boolean":
            return _BOOLEANS[value.lower() if isinstance(value, str) else bool(value)]
        number = float(value)  # type: ignore[arg-type] # refused below
    except (TypeError, ValueError, KeyError, OverflowError):
        number = float("nan")
    if not np.isfinite(np.float32(number)):
        kind = "truth value" if column.kind == "boolean" else "finite number"
        raise InputError(f"column `{column.name}` row {row + 1}: {value!r} is no {kind}")
    return number


def _values(column: Any) -> list[Any]:  # noqa: ANN401 - a list, an array, or a column of pandas or polars
    if hasattr(column, "to_list"):
        return list(column.to_list())
    return list(column.tolist()) if isinstance(column, np.ndarray) else list(column)


def _is_missing(value: object) -> bool:
    # NaN is the only value that differs from itself; pandas' NA has no truth value when compared.
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float) and value != value  # noqa: PLR0124


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_MOST_SHOWN])
    more = len(names) - _MOST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
