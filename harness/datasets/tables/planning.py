"""From the profile of a table to its schema: which features each column gives, and what is refused."""

from typing import NamedTuple

from harness.datasets.libsvm import MOST_FEATURES
from harness.datasets.tables.label_plan import LabelPlan, plan_labels
from harness.datasets.tables.profile import ColumnProfile, TableProfile
from harness.datasets.tables.spec import TableOptions
from harness.datasets.tables.values import DECIMAL_COMMA
from training.data.schema import Column, Schema
from training.errors import InputError

# Fewer rows than this may all have different texts by chance.
_FEW_ROWS = 10
_MOST_SHOWN = 4
# From here on, float32 does not tell neighbouring whole numbers apart.
_EXACT = 1 << 24


class TablePlan(NamedTuple):
    """What becomes of a table.

    Attributes:
        schema: How its rows become features and labels.
        notes: What the user should know, one line each.
    """

    schema: Schema
    notes: list[str]


def make_plan(profile: TableProfile, label: str | None, options: TableOptions) -> TablePlan:
    """Return what becomes of a table.

    Args:
        profile: Its columns.
        label: Its label column; None for a clustering without one.
        options: What the user says about it.

    Raises:
        InputError: It has no rows or no features, or a column cannot become features; the message names the columns.
    """
    if not profile.rows:
        raise InputError(f"{profile.name}: holds a header and no rows\nname a file with rows")
    labels = LabelPlan("clustering", None, "")
    if label is not None and options.task != "clustering":
        labels = plan_labels(profile.columns[label], options, profile.name)
    aside = {label, options.split}
    features = [column for name, column in profile.columns.items() if name not in aside]
    if not features:
        raise InputError(f"{profile.name}: has no column beside `{label}`\nname a file with features")
    _refuse(features, profile, options)
    columns = [_column(column, options) for column in features]
    task = labels.task
    schema = Schema(task=task, label=None if task == "clustering" else label, classes=labels.classes, columns=columns)
    if schema.n_features > MOST_FEATURES:
        widest = max(columns, key=lambda column: column.width)
        raise InputError(
            f"{profile.name}: gives {schema.n_features:,} features; at most {MOST_FEATURES:,} are allowed\n"
            f"column `{widest.name}` has {widest.width:,} categories: --categorical ordinal makes it one feature, "
            f"--drop {widest.name} leaves it out"
        )
    filled = [column for column in features if column.missing and options.missing in {"mean", "zero"}]
    return TablePlan(schema, [*filter(None, [labels.note]), *_filled(filled, options), *_notes(features, columns)])


def _filled(columns: list[ColumnProfile], options: TableOptions) -> list[str]:
    if not columns:
        return []
    by = "the mean of its column" if options.missing == "mean" else "zero"
    return [f"missing values: {_counts(columns)}; {by} replaces each; --missing has other ways"]


def _counts(columns: list[ColumnProfile]) -> str:
    more = f" and {len(columns) - _MOST_SHOWN} more columns" if len(columns) > _MOST_SHOWN else ""
    return ", ".join(f"`{column.name}` {column.missing:,}" for column in columns[:_MOST_SHOWN]) + more


def _refuse(features: list[ColumnProfile], profile: TableProfile, options: TableOptions) -> None:
    """Refuse columns that give no features, all of one kind at once.

    Raises:
        InputError: There are some.
    """
    source = profile.name
    if wrong := [column for column in features if column.refused]:
        kinds = " and ".join(dict.fromkeys(str(column.refused) for column in wrong))
        raise InputError(f"{source}: {_named(wrong)}: {kinds}, not single values\n{_drop(wrong, 'spread them over')}")
    if wrong := [column for column in features if column.missing == column.rows]:
        raise InputError(f"{source}: {_named(wrong)}: all values are missing\n{_drop(wrong)}")
    if wrong := [column for column in features if column.dates and column.first_text]:
        place, value = wrong[0].first_text or ("", "")
        raise InputError(
            f"{source}: {_named(wrong)}: dates or times, such as `{value}` at {place}\n"
            f"{_drop(wrong, 'replace them by')}"
        )
    for column in features:
        if column.infinite:
            raise InputError(
                f"{source}: column `{column.name}`: a number is infinite or beyond single precision\n"
                f"at {column.infinite}"
            )
        if not column.is_numeric and not column.is_boolean:
            _refuse_text(column, profile, options)
    if options.missing == "refuse" and (wrong := [column for column in features if column.missing]):
        raise InputError(
            f"{source}: missing values: {_counts(wrong)}; the first at {wrong[0].first_missing}\n"
            "--missing mean or --missing zero replaces them, --missing drop leaves their rows out"
        )


def _refuse_text(column: ColumnProfile, profile: TableProfile, options: TableOptions) -> None:
    where, (place, value) = f"{profile.name}: column `{column.name}`", column.first_text or ("", "")
    if DECIMAL_COMMA.fullmatch(value):
        raise InputError(
            f"{where}: numbers with a decimal comma, such as `{value}` at {place}\n"
            "write them with a decimal point and without separators of thousands, "
            f"or leave the column out: --drop {column.name}"
        )
    many = column.counts is None or column.distinct is None or column.distinct > options.most_categories
    unique = column.distinct == column.present and column.present > _FEW_ROWS
    if (many or unique) and column.numbers * 2 >= column.present:
        raise InputError(
            f"{where}: holds {column.numbers:,} numbers, but also text, such as `{value}` at {place}\n"
            f"correct these values, leave them empty with --missing, or leave the column out: --drop {column.name}"
        )
    if many or unique:
        what = "each row has a text of its own" if unique else f"more than {options.most_categories} different texts"
        raise InputError(
            f"{where}: {what}, such as `{value}` at {place}: a name or an ID?\n"
            f"leave it out: --drop {column.name}" + ("" if unique else "; or allow more with --max-categories")
        )


def _column(column: ColumnProfile, options: TableOptions) -> Column:
    fill = None
    if options.missing in {"mean", "zero"}:
        fill = 0.0
    if column.is_numeric:
        return Column(
            name=column.name,
            kind="numeric",
            missing=options.missing,
            fill=column.mean if options.missing == "mean" else fill,
        )
    if column.is_boolean:
        if options.missing == "mean":
            true = sum(rows for value, rows in (column.counts or {}).items() if str(value).lower() == "true")
            fill = true / column.present
        return Column(name=column.name, kind="boolean", missing=options.missing, fill=fill)
    ordinal = options.categorical == "ordinal"
    return Column(
        name=column.name,
        kind="ordinal" if ordinal else "one_hot",
        categories=sorted(map(str, column.counts or [])),
        missing=options.missing,
        fill=None if fill is None else -1.0 if ordinal else 0.0,
    )


def _notes(features: list[ColumnProfile], columns: list[Column]) -> list[str]:
    notes = []
    if constant := [column for column in features if column.is_constant]:
        notes.append(f"{_named(constant)}: the same value in all rows, which teaches nothing; --drop leaves it out")
    if index := [column for column in features if column.is_numeric and column.rising and column.numbers > _FEW_ROWS]:
        notes.append(f"{_named(index)}: rises by 1 with every row: an index? --drop leaves it out")
    if large := [
        column
        for column in features
        if column.is_numeric and column.whole and max(-column.least, column.largest) > _EXACT and column not in index
    ]:
        notes.append(f"{_named(large)}: whole numbers beyond {_EXACT:,} lose digits in single precision")
    if mixed := [column for column in features if column.numbers and column.first_text and not column.boolean]:
        place, value = mixed[0].first_text or ("", "")
        notes.append(f"{_named(mixed)}: numbers and text, such as `{value}` at {place}: all values are categories")
    encoded = [f"`{column.name}` {column.kind} ({len(column.categories)})" for column in columns if column.categories]
    if encoded:
        more = f" and {len(encoded) - _MOST_SHOWN} more" if len(encoded) > _MOST_SHOWN else ""
        notes.append(f"categories: {', '.join(encoded[:_MOST_SHOWN])}{more}")
    return notes


def _named(columns: list[ColumnProfile]) -> str:
    names = ", ".join(f"`{column.name}`" for column in columns[:_MOST_SHOWN])
    more = f" and {len(columns) - _MOST_SHOWN} more" if len(columns) > _MOST_SHOWN else ""
    return f"column{'s' if len(columns) > 1 else ''} {names}{more}"


def _drop(columns: list[ColumnProfile], instead: str = "") -> str:
    flags = " ".join(f"--drop {column.name}" for column in columns[:_MOST_SHOWN])
    return f"leave {'them' if len(columns) > 1 else 'it'} out: {flags}" + (
        f"; or {instead} columns of numbers" if instead else ""
    )
