"""`harness data`: make, partition and inspect data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data_options import zero_based_option
from harness.cli.groups import SuggestingGroup

if TYPE_CHECKING:
    from harness.datasets.inspection import BucketInspection, FileInspection
    from harness.datasets.partitions import Manifest
    from training.data.manifest import LabelCount
    from training.job import ZeroBased

MOST_LABELS_SHOWN = 12


class DataGroup(SuggestingGroup):
    """Add `partition`, the command of the original's script, and import it only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands, in the order in which they are used."""
        return sorted([*super().list_commands(ctx), "partition"], key=("make", "partition", "inspect").index)

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
    "--density", type=click.FloatRange(0, 0.5, min_open=True), help="Set the density of sparse rows.  [default: 0.0016]"
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
@click.option(
    "--endpoint-url", help="Read from this S3 endpoint.  [default: AWS_ENDPOINT_URL_S3, else the stack that is up]"
)
@zero_based_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(*, source: str, endpoint_url: str | None, zero_based: "ZeroBased", as_json: bool) -> None:
    """Describe the data in SOURCE, a file or s3://BUCKET[/FOLDER].

    \b
    Example:
      harness data inspect s3://higgs-2
    """
    import msgspec

    from harness.datasets.inspection import inspect_bucket, inspect_file
    from harness.datasets.progress import progress_bar
    from harness.datasets.s3 import s3_client
    from harness.datasets.specs import BucketSpec, FileSpec, parse_data_spec
    from training.errors import InputError

    found: BucketInspection | FileInspection
    spec = parse_data_spec(source)
    if isinstance(spec, BucketSpec):
        found = inspect_bucket(s3_client(endpoint_url), spec.bucket, spec.prefix)
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
    kind = f"{manifest.data_type} as {manifest.format}"
    lines += [
        f"source      {manifest.source}{' (synthetic)' if manifest.synthetic else ''}, {order}{skewed}",
        f"rows        {manifest.rows:,} of {manifest.features:,} features{describe_density(manifest)}",
        f"sha256      {manifest.sha256[:16]}...",
        f"labels      {describe_labels(manifest.labels)}",
        f"partitions  {manifest.n_partitions} of {kind}, {manifest.keys[0]} to {manifest.keys[-1]}",
    ]
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


def describe_labels(labels: "list[LabelCount] | None") -> str:
    """Return the labels, each with its share of the rows."""
    if labels is None:
        return "too many to be classes"
    total = sum(count.rows for count in labels)
    shown = [f"{count.label} ({count.rows / total:.1%})" for count in labels[:MOST_LABELS_SHOWN]]
    return ", ".join(shown) + (f" and {len(labels) - len(shown)} more" if len(labels) > len(shown) else "")
