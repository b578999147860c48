"""Choose the label column, and what its values are: classes or targets."""

from collections.abc import Sequence
from typing import NamedTuple

from harness.datasets.tables.profile import ColumnProfile
from harness.datasets.tables.source import Table, list_columns
from harness.datasets.tables.spec import TableOptions
from harness.datasets.tables.values import TRUE
from training.data.labels import MOST_LABELS
from training.data.schema import Task, UserLabel
from training.errors import InputError

USUAL_NAMES = ("label", "target", "class", "y")
# Whole numbers are classes if they are few, or numbered without gaps; otherwise they are targets.
FEW_NUMBERS, MOST_NUMBERED = 20, 100
_MOST_SHOWN = 6
# Whole numbers up to here are exact in the schema's JSON.
_LARGEST = 1 << 64


class LabelPlan(NamedTuple):
    """What the label column is.

    Attributes:
        task: What its values are for.
        classes: The label of each class; None for targets.
        note: How that was found.
    """

    task: Task
    classes: list[UserLabel] | None
    note: str


def label_column(table: Table, options: TableOptions) -> tuple[str | None, str | None]:
    """Return the label column and, where nobody named it, a line about it; neither for a clustering without one.

    Raises:
        InputError: There is no such column; the message lists the columns.
    """
    if options.label is not None:
        table.check_columns([options.label], "--label")
        return options.label, None
    candidates = [name for name in table.columns if name != options.split]
    usual = {name.lower(): name for name in reversed(candidates)}
    found = next((usual[name] for name in USUAL_NAMES if name in usual), None)
    if options.task == "clustering":
        return found, f"a clustering ignores the column `{found}`" if found else None
    if not candidates:
        raise InputError(f"{table.name}: has no column of labels\n{list_columns(table.columns)}")
    if found is None:
        return candidates[-1], f"the label is the last column, `{candidates[-1]}`; --label names another"
    return found, f"the label is the column `{found}`; --label names another"


def plan_labels(column: ColumnProfile, options: TableOptions, source: str) -> LabelPlan:
    """Return what the label column is.

    Raises:
        InputError: Its values are neither classes nor targets, or some are missing.
    """
    where = f"{source}: label column `{column.name}`"
    if column.refused:
        raise InputError(f"{where}: holds {column.refused}\nname another column with --label")
    if column.missing == column.rows:
        raise InputError(f"{where}: has no values\nname another column with --label")
    if column.missing and options.missing != "drop":
        raise InputError(
            f"{where}: {column.missing:,} values are missing, the first at {column.first_missing}\n"
            "--missing drop leaves their rows out"
        )
    if column.is_boolean:
        return _classes([False, True], column, options, where)
    if column.is_numeric:
        return _numbers(column, options, where)
    return _texts(column, options, where)


def _numbers(column: ColumnProfile, options: TableOptions, where: str) -> LabelPlan:
    if column.infinite:
        raise InputError(f"{where}: a number is infinite or beyond single precision\nat {column.infinite}")
    values = None if column.counts is None else sorted({_number(value) for value in column.counts})
    if values and not -_LARGEST // 2 <= values[0] <= values[-1] < _LARGEST:
        raise InputError(f"{where}: a whole number needs more than 64 bits\nwrite the labels as text, such as id-1")
    if options.task == "regression":
        return LabelPlan("regression", None, "targets: numbers, as the model is one of regression")
    if options.task == "classification":
        if values is None:
            raise _too_many(column, where)
        if not column.whole and len(values) > FEW_NUMBERS:
            raise InputError(
                f"{where}: holds {len(values):,} different numbers with fractions, so they are no classes\n"
                "choose a model of regression, such as --model linear, or another column with --label"
            )
        return _classes(values, column, options, where)
    if values is None or not column.whole:
        return LabelPlan("regression", None, "targets: numbers" + ("" if column.whole else " with fractions"))
    gapless = values[0] in {0, 1} and values[-1] - values[0] == len(values) - 1
    if len(values) > FEW_NUMBERS and not (gapless and len(values) <= MOST_NUMBERED):
        return LabelPlan("regression", None, f"targets: {len(values):,} different whole numbers")
    return _classes(values, column, options, where)


def _texts(column: ColumnProfile, options: TableOptions, where: str) -> LabelPlan:
    place, value = column.first_text or ("", "")
    if column.dates and column.counts is None:
        raise InputError(f"{where}: holds dates, such as `{value}` at {place}\nname another column with --label")
    if column.numbers:
        raise InputError(
            f"{where}: holds {column.numbers:,} numbers, but also text, such as `{value}` at {place}\n"
            "write all labels as numbers or all as text"
        )
    if options.task == "regression":
        raise InputError(
            f"{where}: holds text, such as `{value}` at {place}; a regression needs numbers\n"
            "name another column with --label, or choose a model of classification, such as --model lr"
        )
    if column.counts is None:
        raise _too_many(column, where)
    return _classes(sorted(map(str, column.counts)), column, options, where)


def _classes(classes: Sequence[UserLabel], column: ColumnProfile, options: TableOptions, where: str) -> LabelPlan:
    if options.task == "regression":
        raise InputError(f"{where}: holds false and true; a regression needs numbers\nchoose --model lr")
    if options.task == "clustering":
        return LabelPlan("clustering", None, "")
    if column.distinct == 1:
        raise InputError(
            f"{where}: all rows have the label {next(iter(column.counts or ['']))}; a classification needs two\n"
            "name another column with --label, or data with other labels"
        )
    shown = ", ".join(map(str, classes[:_MOST_SHOWN])) + (" ..." if len(classes) > _MOST_SHOWN else "")
    return LabelPlan("classification", list(classes), f"{len(classes):,} classes: {shown}")


def _too_many(column: ColumnProfile, where: str) -> InputError:
    hint = "choose a model of regression, such as --model linear" if column.is_numeric else "is it an ID?"
    return InputError(f"{where}: has more than {MOST_LABELS:,} different values; labels are classes\n{hint}")


def label_of(value: UserLabel, classes: Sequence[UserLabel]) -> UserLabel:
    """Return the class of a value, as it stands among the classes."""
    if isinstance(classes[0], bool):
        return str(value).lower() == TRUE
    return value if isinstance(classes[0], str) else _number(value)


def _number(value: object) -> int | float:
    try:
        return int(str(value))
    except ValueError:
        number = float(str(value))
        return int(number) if number.is_integer() else number
