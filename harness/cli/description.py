"""Print the description of a table."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.datasets.image_folder import ImagesDescription
    from harness.datasets.specs import DataSpec
    from harness.datasets.tables.description import ColumnDescription, TableDescription
    from harness.datasets.tables.spec import TableOptions

_MOST_SHOWN = 4


def describe_data(
    source: str, options: "TableOptions", endpoint_url: str | None, *, missing_is_ours: bool, as_json: bool
) -> str:
    """Return the description of data as text, or as one JSON object.

    Args:
        source: As `--data`.
        options: What the table's columns are for.
        endpoint_url: The S3 endpoint; None for the stack that is up.
        missing_is_ours: Whether the user says nothing about missing values, so that a run decides.
        as_json: Whether to return JSON.

    Raises:
        InputError: The data cannot be read, or lies nowhere until a run makes it.
    """
    import msgspec

    from harness.datasets.image_folder import ImageFolderSpec, describe_images
    from harness.datasets.progress import progress_bar
    from harness.datasets.s3 import s3_client
    from harness.datasets.specs import BucketSpec, FileSpec, parse_data_spec
    from harness.datasets.tables.description import describe_table
    from harness.datasets.tables.objects import find_objects
    from harness.datasets.tables.spec import S3TableSpec, TableSpec
    from harness.runs.choices import fill_missing
    from training.errors import InputError

    spec: DataSpec | None = parse_data_spec(source, options)
    s3 = s3_client(endpoint_url) if isinstance(spec, BucketSpec) else None
    if s3 is not None and isinstance(spec, BucketSpec):
        spec = find_objects(s3, spec.bucket, spec.prefix, spec.options)
    if isinstance(spec, ImageFolderSpec):
        images = describe_images(spec)
        return msgspec.json.encode(images).decode() if as_json else _format_images(images)
    if not isinstance(spec, TableSpec | S3TableSpec):
        if spec is None or isinstance(spec, FileSpec):
            raise InputError(
                f"data `{source}`: is no table, so it has no columns to describe\n"
                f"`harness data inspect {source}` describes LIBSVM text, images and partitions"
            )
        raise InputError(f"data `{source}`: lies nowhere until a run makes it; name files of a table")
    filled = fill_missing(spec) if missing_is_ours else spec
    with progress_bar(f"reading {source}") as progress:
        found = describe_table(filled, s3, progress)
    return msgspec.json.encode(found).decode() if as_json else format_description(found)


def format_description(found: "TableDescription") -> str:
    """Return the description of a table as text, with a table of its columns."""
    from io import StringIO

    from harness.cli._table import TableColumn, figures, print_table
    from harness.system.console import results

    files = f"{found.files} files, " if found.files > 1 else ""
    lines = [f"{found.source}: {found.form}, {files}{found.rows:,} rows of {len(found.columns):,} columns"]
    columns = [TableColumn("column", folds=True), TableColumn("for"), TableColumn("type"), *figures("missing")]
    columns += [TableColumn("values", folds=True), TableColumn("becomes", folds=True)]
    rows = []
    for column in found.columns:
        missing = f"{column.missing:,} ({column.missing / max(1, found.rows):.1%})" if column.missing else ""
        rows.append((column.name, column.role, column.type, missing, _values(column, found.rows), _becomes(column)))
    console = results()
    console.file = text = StringIO()
    print_table(columns, rows, console)
    lines += ["", text.getvalue().rstrip(), ""]
    if found.classes is not None:
        shares = [f"{_text(one.value)} ({one.rows / found.rows:.1%})" for one in found.classes[:12]]
        more = f" and {len(found.classes) - 12:,} more" if len(found.classes) > 12 else ""
        lines.append(f"classes   {', '.join(shares)}{more}")
    if found.refused:
        lines.append(f"refused   {found.refused}".replace("\n", "\n          "))
    else:
        lines.append(f"a run     {found.task} with {found.features:,} features")
    lines += [f"note      {note}" for note in found.notes]
    return "\n".join(line.rstrip() for line in "\n".join(lines).split("\n"))


def _format_images(found: "ImagesDescription") -> str:
    total = sum(found.classes.values())
    lines = [f"{found.source}: {total:,} images in {len(found.classes)} classes"]
    lines += [f"  {name}  {rows:,} ({rows / max(1, total):.1%})" for name, rows in found.classes.items()]
    lines += [f"refused   {found.refused}".replace("\n", "\n          ")] if found.refused else []
    lines += [] if found.refused else ["a run     classification of 32 x 32 pixels in three colours"]
    lines += [f"note      {note}" for note in found.notes]
    return "\n".join(lines)


def _text(value: object) -> str:
    """Return a value as CSV has it, whatever the file's form."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(column: "ColumnDescription", rows: int) -> str:
    if column.values and column.type not in {"numbers", "whole numbers"}:
        shown = [f"{_text(one.value)} ({one.rows / max(1, rows):.1%})" for one in column.values[:_MOST_SHOWN]]
        more = (column.distinct or 0) - _MOST_SHOWN
        return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
    if column.least is None or column.largest is None or column.mean is None:
        return "" if column.distinct is not None else "many"
    return f"{column.least:g} to {column.largest:g}, mean {column.mean:g}"


def _becomes(column: "ColumnDescription") -> str:
    if column.encoding is None:
        return ""
    return column.encoding if column.features == 1 else f"{column.encoding}, {column.features:,} features"
