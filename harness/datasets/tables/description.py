"""Describe a table: its columns as they are, and what would become of them."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from harness.datasets.progress import Progress
from harness.datasets.tables.label_plan import label_column, label_of
from harness.datasets.tables.objects import on_disk
from harness.datasets.tables.partition_table import read_profile
from harness.datasets.tables.planning import TablePlan, make_plan
from harness.datasets.tables.profile import ColumnProfile
from harness.datasets.tables.spec import S3TableSpec, TableForm, TableSpec
from training.data.schema import Column, Schema, UserLabel
from training.errors import InputError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Role = Literal["feature", "label", "split", "refused"]
_MOST_VALUES = 20


class ValueCount(msgspec.Struct, frozen=True):
    """The number of rows with one value."""

    value: str | int | float | bool
    rows: int


class ColumnDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a table.

    Attributes:
        name: Its name.
        role: What it is for.
        type: `numbers`, `whole numbers`, `false/true`, `text`, `numbers and text`, `dates`, or a type that is refused.
        missing: Number of missing values.
        distinct: Number of different values; None if there are too many to count.
        least: The smallest number; None without numbers.
        largest: The largest number.
        mean: The mean of the numbers.
        values: The most frequent values of a column of few.
        encoding: What becomes of it: `numeric`, `boolean`, `one_hot`, `ordinal`; None if it gives no features.
        features: Number of features that it gives.
    """

    name: str
    role: Role
    type: str
    missing: int
    distinct: int | None
    least: float | None
    largest: float | None
    mean: float | None
    values: list[ValueCount]
    encoding: str | None
    features: int


class TableDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A table.

    Attributes:
        source: Its files, as in `--data`.
        form: Their format.
        files: Number of files.
        rows: Number of rows.
        task: What the labels are for; None where the table is refused.
        classes: The rows of each class; None without classes.
        features: Number of features of a row.
        columns: Its columns, in their order.
        notes: What the user should know, one line each.
        refused: Why a run would refuse the table; None if it would not.
    """

    source: str
    form: TableForm
    files: int
    rows: int
    task: str | None
    classes: list[ValueCount] | None
    features: int
    columns: list[ColumnDescription]
    notes: list[str]
    refused: str | None


def describe_table(
    spec: TableSpec | S3TableSpec, s3: "S3Client | None" = None, progress: Progress | None = None
) -> TableDescription:
    """Read a table and describe it; a table that a run would refuse is described, too.

    Args:
        spec: The table.
        s3: The S3 client, for objects in S3.
        progress: Called while reading.

    Raises:
        InputError: The table cannot be read; the message gives file and line.
    """
    if isinstance(spec, S3TableSpec):
        assert s3 is not None  # noqa: S101 - the caller's contract
        with on_disk(spec, s3) as copies:
            return describe_table(copies, progress=progress)
    table, label, profile, split = read_profile(spec, progress=progress)
    plan, refused = TablePlan(Schema(task="clustering", label=None, classes=None, columns=[]), []), None
    try:
        plan = make_plan(profile, label, spec.options)
        if split:
            split.decide()
    except InputError as error:
        refused = str(error)
    _, found = label_column(table, spec.options)
    encodings = {column.name: column for column in plan.schema.columns}
    columns = [
        _describe(column, _role(column, label, spec.options.split), encodings.get(name))
        for name, column in profile.columns.items()
    ]
    counts = profile.columns[label].counts if label is not None else None
    return TableDescription(
        source=spec.name,
        form=spec.form,
        files=len(spec.paths),
        rows=profile.rows,
        task=None if refused else plan.schema.task,
        classes=_class_counts(counts or {}, plan.schema.classes),
        features=plan.schema.n_features,
        columns=columns,
        notes=[*table.notes, *filter(None, [found]), *plan.notes],
        refused=refused,
    )


def _role(column: ColumnProfile, label: str | None, split: str | None) -> Role:
    if column.name == label:
        return "label"
    if column.name == split:
        return "split"
    return "refused" if column.refused else "feature"


def _describe(column: ColumnProfile, role: Role, encoding: Column | None) -> ColumnDescription:
    numbers = column.numbers > 0
    few = column.counts is not None and (len(column.counts) <= _MOST_VALUES or not column.is_numeric)
    return ColumnDescription(
        name=column.name,
        role=role,
        type=_type(column),
        missing=column.missing,
        distinct=column.distinct,
        least=column.least if numbers else None,
        largest=column.largest if numbers else None,
        mean=column.mean if numbers else None,
        values=_counts(column.counts or {}, _MOST_VALUES) if few else [],
        encoding=encoding.kind if encoding else None,
        features=encoding.width if encoding else 0,
    )


def _type(column: ColumnProfile) -> str:
    if column.refused:
        return column.refused
    if not column.present:
        return "nothing"
    if column.dates and column.first_text:
        return "dates"
    if column.is_boolean:
        return "false/true"
    if column.is_numeric:
        return "whole numbers" if column.whole else "numbers"
    return "numbers and text" if column.numbers else "text"


def _class_counts(counts: Mapping[UserLabel, int], classes: list[UserLabel] | None) -> list[ValueCount] | None:
    """Return the rows of each class: `1`, `1.0` and `01`, or `True` and `TRUE`, are one."""
    if classes is None:
        return None
    totals: Counter[UserLabel] = Counter()
    for value, rows in counts.items():
        totals[label_of(value, classes)] += rows
    return _counts(totals, None)


def _counts(counts: Mapping[UserLabel, int], most: int | None) -> list[ValueCount]:
    frequent = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:most]
    return [ValueCount(value, rows) for value, rows in frequent]
