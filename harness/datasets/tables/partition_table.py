"""Partition a table in bounded memory: one pass for its schema, one for its rows.

pass 1   profile of the columns -> schema, or an error that names column and line
pass 2   rows -> features and labels -> spilled with their keys -> dealt, as `harness.datasets.partitioning` does
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.datasets.dealing import Room, check_size, check_target, deal, disk_errors
from harness.datasets.label_counts import LabelCounter
from harness.datasets.partition_format import PartitionFormat
from harness.datasets.partitions import Manifest, publish
from harness.datasets.progress import Progress, part_of
from harness.datasets.shuffle import KeyArray, RowKeys
from harness.datasets.spill import RowSpill
from harness.datasets.tables.encoder import Encoder
from harness.datasets.tables.label_plan import label_column
from harness.datasets.tables.opening import is_typed, open_table
from harness.datasets.tables.planning import TablePlan, make_plan
from harness.datasets.tables.profile import TableProfile
from harness.datasets.tables.source import Table, TableBlock, list_columns
from harness.datasets.tables.spec import TableSpec
from harness.datasets.tables.split import Split
from training.data.columns import check_names
from training.data.labels import MOST_LABELS
from training.data.schema import Schema
from training.errors import InputError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The shares of the work: the first pass, and the end of the second.
_PROFILED, _READ = 0.35, 0.88
_LAST_BIT, _ONE = np.uint64(63), np.uint64(1)


class Profiled(NamedTuple):
    """A table after the first pass.

    Attributes:
        table: The table.
        label: Its label column; None for none.
        profile: Its columns.
        plan: What becomes of it.
        split: Which rows validate; None where the job's share of them decides.
    """

    table: Table
    label: str | None
    profile: TableProfile
    plan: TablePlan
    split: Split | None


def profile_table(
    spec: TableSpec,
    *,
    valid_ratio: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
    schema: Schema | None = None,
) -> Profiled:
    """Read a table once, and plan what becomes of it.

    Args:
        spec: The table.
        valid_ratio: The share of rows that validate, for a split by a column.
        seed: Determines which groups of such a split validate.
        limit: Use only this many rows from the beginning.
        progress: Called while reading.
        schema: The schema of other rows, which these must fit; nothing is read then.

    Raises:
        InputError: The table cannot be read, or cannot become features and labels; the message names file and line, or
            the columns.
    """
    if schema is not None:
        return _given(open_table(spec, drop=False), schema)
    table, label, profile, split = read_profile(
        spec, valid_ratio=valid_ratio, seed=seed, limit=limit, progress=progress
    )
    plan = make_plan(profile, label, spec.options)
    if split:
        split.decide()
    _, found = label_column(table, spec.options)
    notes = [*table.notes, *filter(None, [found]), *plan.notes]
    # A clustering leaves the label column out.
    label = None if plan.schema.task == "clustering" else label
    return Profiled(table, label, profile, TablePlan(plan.schema, notes), split)


def read_profile(
    spec: TableSpec,
    *,
    valid_ratio: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> tuple[Table, str | None, TableProfile, Split | None]:
    """Read a table once.

    Returns:
        The table, its label column, its columns, and the values of the column that splits it; the arguments and errors
        are those of `profile_table`.
    """
    options = spec.options.check()
    table = open_table(spec)
    table.check_columns([options.split] if options.split else [], "--split-by or --split-time")
    label, _ = label_column(table, options)
    most = {name: MOST_LABELS if name == label else max(options.most_categories, 1) for name in table.columns}
    profile, typed = TableProfile(table, most), is_typed(spec)
    split = Split(options, valid_ratio, seed, typed=typed, source=table.name) if options.split else None
    for block in limited(table.blocks(), limit):
        profile.take(block, typed=typed)
        if split:
            split.count(block)
        if progress:
            progress(profile.rows, block.done, table.bytes_total)
    return table, label, profile, split


def partition_table(  # noqa: PLR0913 - keywords only, as partition_file
    spec: TableSpec,
    *,
    n_workers: int,
    s3: "S3Client",
    bucket: str,
    seed: int = 0,
    shuffle: bool = True,
    format: PartitionFormat = "npz",  # noqa: A002 - the option's name
    valid_ratio: float = 0.1,
    limit: int | None = None,
    progress: Progress | None = None,
    spill_dir: Path | None = None,
    prefix: str = "",
    schema: Schema | None = None,
) -> Manifest:
    """Partition a table in bounded memory, whatever its size.

    Args:
        spec: The table.
        n_workers: Number of partitions.
        s3: The S3 client.
        bucket: The bucket; created if missing.
        seed: Determines the order of the rows, together with the data.
        shuffle: Whether the order is random; otherwise it is the table's.
        format: The format of the objects.
        valid_ratio: The share of rows that validate, for a split by a column.
        limit: Use only this many rows from the beginning.
        progress: Called through all stages.
        spill_dir: Folder for temporary data, about twice the rows' size in memory; by default the system's.
        prefix: The folder in the bucket, with a trailing `/`; empty for the top.
        schema: The schema of other rows, such as those of a training; None for the table's own.

    Raises:
        InputError: The table, an argument or S3 is wrong; nothing is left in the bucket.
    """
    check_target(n_workers, s3, bucket, "dense_libsvm", format)
    if not shuffle and spec.options.split:
        raise InputError("--no-shuffle keeps the order of the rows, and --split-by and --split-time change it")
    first = part_of(progress, 0, _PROFILED)
    found = profile_table(spec, valid_ratio=valid_ratio, seed=seed, limit=limit, progress=first, schema=schema)
    if schema is not None and schema.label is not None and found.label is None:
        raise InputError(
            f"{found.table.name}: lacks the label column `{schema.label}`\n{list_columns(found.table.columns)}"
        )
    encoder = Encoder(found.plan.schema, typed=is_typed(spec), label=found.label)
    with disk_errors(spill_dir), RowSpill(spill_dir) as spill:
        read = _spill(found, encoder, spill, RowKeys(seed) if shuffle else None, limit, spill_dir, progress)
        check_size(found.table.name, spill.rows, spill.width, n_workers)
        describe = partial(
            Manifest,
            source=_source_name(spec),
            synthetic=False,
            data_type="dense_libsvm",
            format=format,
            labels=None if found.plan.schema.task == "regression" else read.labels.counts,
            schema=found.plan.schema,
            notes=[*found.plan.notes, *encoder.notes()],
            seed=seed if shuffle else None,
            skew=None,
        )
        blocks = spill.in_key_order() if shuffle else spill.in_file_order()
        put = partial(publish, s3=s3, bucket=bucket, prefix=prefix, spill_dir=spill_dir)
        valid_rows = read.valid_rows if found.split else None
        last = part_of(progress, _READ, 1)
        return deal(blocks, describe, n_workers, put, spill_dir, last, spill.rows, valid_rows)


def limited(blocks: Iterator[TableBlock], limit: int | None) -> Iterator[TableBlock]:
    """Yield blocks up to a number of rows."""
    rows = 0
    for block in blocks:
        if limit is not None and rows + block.frame.height >= limit:
            yield block._replace(frame=block.frame[: limit - rows])
            return
        rows += block.frame.height
        yield block


class _Read(NamedTuple):
    labels: LabelCounter
    valid_rows: int


def _spill(
    found: Profiled,
    encoder: Encoder,
    spill: RowSpill,
    keys: RowKeys | None,
    limit: int | None,
    spill_dir: Path | None,
    progress: Progress | None,
) -> _Read:
    """Store the rows, those that validate after the others in the order of the keys."""
    room = Room(spill, spill_dir, part_of(progress, _PROFILED, _READ))
    labels, valid_rows, trained = LabelCounter(), 0, Counter[float]()
    for block in limited(found.table.blocks(), limit):
        rows, kept = encoder.encode(block)
        validates = found.split.validates(block)[kept] if found.split else np.zeros(rows.rows, np.bool_)
        valid_rows += int(validates.sum())
        labels.count(rows.y)
        if found.split and found.plan.schema.classes is not None:
            trained.update(rows.y[~validates].tolist())
        spill.append(_keys(keys, validates) if keys else np.zeros(rows.rows, np.uint64), rows)
        room.progress(spill.rows, block.done, found.table.bytes_total)
        room.check()
    if found.split:
        _check_trained(found, labels, trained)
    return _Read(labels, valid_rows)


def _keys(keys: RowKeys, validates: npt.NDArray[np.bool_]) -> KeyArray:
    """Return random keys, with all rows that validate after the others."""
    drawn = keys.draw(len(validates))
    if not validates.any():
        return drawn
    return (drawn >> _ONE) | (validates.astype(np.uint64) << _LAST_BIT)


def _check_trained(found: Profiled, labels: LabelCounter, trained: Counter[float]) -> None:
    for count in labels.counts or []:
        if found.plan.schema.classes is not None and not trained[float(count.label)]:
            label = found.plan.schema.classes[int(count.label)]
            raise InputError(
                f"{found.table.name}: the label {label} appears in validation rows alone, so no model can learn it\n"
                "choose another column for --split-by or --split-time, another --seed, or a smaller --valid-ratio"
            )


def _given(table: Table, schema: Schema) -> Profiled:
    try:
        notes = check_names([name for name in table.columns if name != schema.label], schema)
    except InputError as error:
        raise InputError(f"{table.name}: {error}") from error
    label = schema.label if schema.label in table.columns else None
    return Profiled(table, label, TableProfile(table, 0), TablePlan(schema, [*table.notes, *notes]), None)


def _source_name(spec: TableSpec) -> str:
    first = spec.paths[0].name
    return first if len(spec.paths) == 1 else f"{first} and {len(spec.paths) - 1} more"
