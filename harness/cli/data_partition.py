"""`harness data partition`: split a data set into one partition per worker and store them in a bucket.

`fixtures/partition_data.py`, the original project's script, is the same command.
"""

from pathlib import Path

import click
import msgspec

from harness.cli.data_options import ZERO_BASED_NOTE, zero_based_option
from harness.datasets.data_file import FILE_FORMATS
from harness.datasets.libsvm import MOST_SPARSE_FEATURES
from harness.datasets.partition_format import FORMATS, PartitionFormat
from harness.datasets.partitioning import MOST_WORKERS, partition_file
from harness.datasets.progress import progress_bar
from harness.datasets.s3 import s3_client
from training.job import ZeroBased
from training.model.catalogue import DatasetType

# For --use-dummy-data, as in the original project.
DUMMY_ROWS_PER_PARTITION = 10


@click.command("partition")
@click.option("--file-path", type=click.Path(path_type=Path), required=True, help="The data file, plain or compressed.")
@click.option(
    "--dataset-type",
    type=click.Choice(list(FILE_FORMATS)),
    default="dense_libsvm",
    show_default=True,
    help="Type of the data.",
)
@click.option("--n-workers", type=click.IntRange(1, MOST_WORKERS), required=True, help="Number of partitions.")
@click.option(
    "--bucket-name", required=True, help="Bucket for the partitions `0_<n>`, `1_<n>`, ...; created if missing."
)
@click.option("--use-dummy-data", is_flag=True, help="Use only the first rows, 10 per partition.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of the shuffle.")
@click.option("--no-shuffle", is_flag=True, help="Keep the order of the file.")
@click.option(
    "--n-features",
    type=click.IntRange(1, MOST_SPARSE_FEATURES),
    help="Number of columns; by default the largest index in the file.",
)
@zero_based_option
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="npz", show_default=True, help="Format of the objects."
)
@click.option("--endpoint-url", help="URL of S3; by default AWS_ENDPOINT_URL_S3, or the running stack.")
@click.option(
    "--spill-dir", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder for temporary data."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def partition(  # noqa: PLR0913 - one per option
    *,
    file_path: Path,
    dataset_type: DatasetType,
    n_workers: int,
    bucket_name: str,
    use_dummy_data: bool,
    seed: int,
    no_shuffle: bool,
    n_features: int | None,
    zero_based: ZeroBased,
    form: PartitionFormat,
    endpoint_url: str | None,
    spill_dir: Path | None,
    as_json: bool,
) -> None:
    """Split a data set into one partition per worker.

    \b
    Example:
      harness data partition --file-path HIGGS.xz --n-workers 2 --bucket-name higgs-2
    """
    with progress_bar(f"partitioning {file_path.name}") as progress:
        manifest = partition_file(
            file_path,
            n_workers=n_workers,
            s3=s3_client(endpoint_url),
            bucket=bucket_name,
            data_type=dataset_type,
            seed=seed,
            shuffle=not no_shuffle,
            format=form,
            n_features=n_features,
            zero_based=zero_based,
            limit=n_workers * DUMMY_ROWS_PER_PARTITION if use_dummy_data else None,
            progress=progress,
            spill_dir=spill_dir,
        )
    if as_json:
        click.echo(msgspec.json.encode(manifest))
    else:
        click.echo(
            f"{manifest.rows:,} rows of {manifest.features:,} features from {manifest.source} are in "
            f"s3://{bucket_name} as {manifest.keys[0]} to {manifest.keys[-1]}"
        )
        if manifest.zero_based:
            click.echo(ZERO_BASED_NOTE)
