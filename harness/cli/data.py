"""`harness data`: make, partition and inspect data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.data_options import table_options, table_options_of, zero_based_option
from harness.cli.groups import SuggestingGroup
from harness.cli.numbers import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.datasets.inspection import BucketInspection, FileInspection
    from harness.datasets.partitions import Manifest
    from training.data.manifest import LabelCount
    from training.data.schema import UserLabel
    from training.job_fields import ZeroBased

MOST_LABELS_SHOWN = 12
# The commands in the order in which they are used.
_ORDER = ("make", "describe", "partition", "inspect")


class DataGroup(SuggestingGroup):
    """Add `partition`, the command of the original's script, and import it only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands, in the order in which they are used."""
        return sorted(
            [*super().list_commands(ctx), "partition"], key=("make", "describe", "partition", "inspect").index
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or None."""
        if cmd_name != "partition":
            return super().get_command(ctx, cmd_name)
        from harness.cli.data_partition import partition

        return partition


@click.group("data", cls=DataGroup)
def command() -> None:
    """Make, partition and inspect data sets.

    \b
    Example:
      harness data partition --file-path HIGGS.xz --n-workers 2 --bucket-name higgs-2
    """


@command.command()
@click.option(
    "--kind",
    type=click.Choice(["dense", "sparse", "images"]),
    default="dense",
    show_default=True,
    help="Imitate HIGGS (dense), RCV1 (sparse) or CIFAR-10 (images).",
)
@click.option("--rows", type=click.IntRange(1), help="Write this many rows.  [default: 100000, 20242 or 2000, by kind]")
@click.option(
    "--features", type=click.IntRange(1), help="Give dense or sparse rows this many columns.  [default: 28 or 47236]"
)
@click.option(
    "--density", type=Number(0, 0.5, min_open=True), help="Set the density of sparse rows.  [default: 0.0016]"
)
@click.option("--classes", type=click.IntRange(2), help="Draw images of this many classes.  [default: 10]")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Write to this file; compress it if its name ends in .xz, .gz or .bz2.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Make the rows from this seed."
)
@click.option("--json", "as_json", is_flag=True, help="Print the note that is written beside the file.")
@quiet_option
def make(*, kind: str, output: Path, seed: int, as_json: bool, **options: float | None) -> None:
    """Write a synthetic data set: LIBSVM text, or images in CIFAR-10's binary format.

    A note beside the file, OUTPUT.json, records that the data is synthetic.

    \b
    Example:
      harness data make --rows 1000000 -o higgs-like.xz
    """
    import msgspec

    from harness.datasets.make_data import KINDS, make_file
    from harness.datasets.progress import progress_bar
    from harness.datasets.specs import synthetic_spec

    given = {key: value for key, value in options.items() if value is not None}
    spec = synthetic_spec(KINDS[kind], given, named=f"--kind {kind}")
    with progress_bar(f"writing {output.name}") as progress:
        note = make_file(output, spec, seed=seed, progress=progress)
    if as_json:
        click.echo(msgspec.json.encode(note))
    else:
        size = f"{output.stat().st_size:,} bytes"
        click.echo(f"{note.rows:,} synthetic rows of {note.features:,} features lie in {output} ({size})")


@command.command()
@click.argument("source")
@table_options
@click.option(
    "--endpoint-url", help="Read from this S3 endpoint.  [default: AWS_ENDPOINT_URL_S3, else the stack that is up]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe(*, source: str, endpoint_url: str | None, as_json: bool, **flags: object) -> None:
    """Describe the table in SOURCE, and what a run would make of it.

    It shows the columns with their types, ranges and missing values, the shares of the classes, and the features that
    each column gives; or why a run would refuse the table.

    \b
    Example:
      harness data describe flowers.csv --label species
    """
    from harness.cli.description import describe_data

    missing_is_ours = flags["table_missing"] is None
    described = describe_data(
        source, table_options_of(flags), endpoint_url, missing_is_ours=missing_is_ours, as_json=as_json
    )
    click.echo(described)


@command.command()
@click.argument("source")
@click.option(
    "--endpoint-url", help="Read from this S3 endpoint.  [default: AWS_ENDPOINT_URL_S3, else the stack that is up]"
)
@zero_based_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(*, source: str, endpoint_url: str | None, zero_based: "ZeroBased", as_json: bool) -> None:
    """Describe the data in SOURCE, files or s3://BUCKET[/FOLDER]; of a table, as `harness data describe` does.

    \b
    Example:
      harness data inspect s3://higgs-2
    """
    import msgspec

    from harness.datasets.image_folder import ImageFolderSpec
    from harness.datasets.inspection import inspect_bucket, inspect_file
    from harness.datasets.progress import progress_bar
    from harness.datasets.s3 import s3_client
    from harness.datasets.specs import BucketSpec, FileSpec, parse_data_spec
    from harness.datasets.tables.objects import holds_tables
    from harness.datasets.tables.spec import DEFAULT_OPTIONS, TableSpec
    from training.errors import InputError

    found: BucketInspection | FileInspection
    spec = parse_data_spec(source)
    s3 = s3_client(endpoint_url) if isinstance(spec, BucketSpec) else None
    in_bucket = s3 is not None and isinstance(spec, BucketSpec) and holds_tables(s3, spec.bucket, spec.prefix)
    if in_bucket or isinstance(spec, TableSpec | ImageFolderSpec):
        from harness.cli.description import describe_data

        click.echo(describe_data(source, DEFAULT_OPTIONS, endpoint_url, missing_is_ours=True, as_json=as_json))
        return
    if s3 and isinstance(spec, BucketSpec):
        with waiting(f"reading s3://{spec.bucket}"):
            found = inspect_bucket(s3, spec.bucket, spec.prefix)
        lines = describe_bucket(found)
    elif isinstance(spec, FileSpec):
        with progress_bar(f"reading {spec.path.name}") as progress:
            found = inspect_file(spec.path, zero_based=zero_based, progress=progress)
        lines = [describe_file(found)]
    else:
        raise InputError(f"data `{source}`: lies nowhere until a run makes it; name a file or s3://BUCKET")
    click.echo(msgspec.json.encode(found) if as_json else "\n".join(lines))


def describe_file(found: "FileInspection") -> str:
    """Describe a file or object in one line."""
    made_up = ", synthetic" if found.synthetic else ""
    return (
        f"{found.source}: {found.format}, {found.bytes:,} bytes, "
        f"{found.rows:,} rows of {found.features:,} features{describe_density(found)}, "
        f"labels {describe_labels(found.labels)}{', zero-based' if found.zero_based else ''}{made_up}"
    )


def describe_bucket(found: "BucketInspection") -> list[str]:
    """Describe a bucket, one line per fact."""
    lines = [f"{found.source}: {len(found.objects)} objects, {sum(found.objects.values()):,} bytes"]
    manifest = found.manifest
    if manifest is None:
        lines += ["no manifest: the partitions are unfinished or not ours", *map(describe_file, found.partitions)]
        return lines
    order = "in the order of the source" if manifest.seed is None else f"shuffled with seed {manifest.seed}"
    skewed = f", skewed by {manifest.skew}" if manifest.skew else ""
    schema = manifest.schema
    classes = schema.classes if schema is not None else None
    has_targets = schema is not None and schema.task == "regression"
    kind = f"{manifest.data_type} as {manifest.format}"
    lines += [
        f"source      {manifest.source}{' (synthetic)' if manifest.synthetic else ''}, {order}{skewed}",
        f"rows        {manifest.rows:,} of {manifest.features:,} features{describe_density(manifest)}",
        f"sha256      {manifest.sha256[:16]}...",
        f"labels      {'targets' if has_targets else describe_labels(manifest.labels, classes)}",
        f"partitions  {manifest.n_partitions} of {kind}, {manifest.keys[0]} to {manifest.keys[-1]}",
    ]
    if schema is not None and schema.columns:
        shown = ", ".join(f"{column.name} ({column.kind})" for column in schema.columns[:MOST_LABELS_SHOWN])
        more = len(schema.columns) - MOST_LABELS_SHOWN
        lines.append(f"columns     {shown}" + (f" and {more} more" if more > 0 else ""))
    if manifest.valid_rows_per_partition is not None:
        lines.append(f"validation  {sum(manifest.valid_rows_per_partition):,} rows, chosen by a column")
    if manifest.zero_based:
        lines.append("indices     from 0 in the source (zero-based)")
    if found.missing:
        lines.append(f"MISSING     {', '.join(found.missing)}")
    return lines


def describe_density(found: "FileInspection | Manifest") -> str:
    """Return the share of non-zero values in sparse rows; empty for other data."""
    if found.data_type != "sparse_libsvm" or not found.features:
        return ""
    return f" ({found.non_zeros / (found.rows * found.features):.3%} not zero)"


def describe_labels(labels: "list[LabelCount] | None", classes: "Sequence[UserLabel] | None" = None) -> str:
    """Return the labels, each with its share of the rows.

    Args:
        labels: The labels; None if there are too many.
        classes: The user's label of each class, where the labels are numbers of classes.
    """
    if labels is None:
        return "too many to be classes"
    total = sum(count.rows for count in labels)
    names = [count.label if classes is None else classes[int(count.label)] for count in labels[:MOST_LABELS_SHOWN]]
    shown = [f"{name} ({count.rows / total:.1%})" for name, count in zip(names, labels, strict=False)]
    return ", ".join(shown) + (f" and {len(labels) - len(shown)} more" if len(labels) > len(shown) else "")
