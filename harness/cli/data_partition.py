"""`harness data partition`: split a data set into one partition per worker and store them in a bucket.

`fixtures/partition_data.py`, the original project's script, is the same command.
"""

from pathlib import Path
from typing import Any

import click
import msgspec

from harness.cli._waiting import quiet_option
from harness.cli.data_options import ZERO_BASED_NOTE, table_options, table_options_of, zero_based_option
from harness.cli.numbers import Number
from harness.cli.usage import errors_name_data
from harness.datasets.data_file import FILE_FORMATS
from harness.datasets.dealing import MOST_WORKERS
from harness.datasets.image_folder import ImageFolderSpec
from harness.datasets.image_partitioning import partition_images
from harness.datasets.libsvm import MOST_SPARSE_FEATURES
from harness.datasets.partition_format import FORMATS, PartitionFormat
from harness.datasets.partitioning import partition_file
from harness.datasets.partitions import Manifest
from harness.datasets.progress import Progress, progress_bar
from harness.datasets.s3 import s3_client
from harness.datasets.specs import FileSpec, parse_data_spec
from harness.datasets.tables.partition_table import partition_table
from harness.datasets.tables.spec import TableSpec
from training.errors import InputError
from training.job_fields import ZeroBased
from training.model.catalogue import DatasetType

# For --use-dummy-data, as in the original project.
DUMMY_ROWS_PER_PARTITION = 10


@click.command("partition")
@click.option(
    "--file-path",
    required=True,
    help="The data: a file, plain or compressed; of tables also a folder, a glob, or several files with commas; "
    "or a folder of images by class.",
)
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
@quiet_option
@click.option(
    "--valid-ratio",
    type=Number(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of the rows that validate, for --split-by and --split-time.",
)
@table_options
def partition(  # noqa: PLR0913 - one per option
    *,
    file_path: str,
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
    valid_ratio: float,
    **flags: object,
) -> None:
    """Split a data set into one partition per worker.

    \b
    Example:
      harness data partition --file-path HIGGS.xz --n-workers 2 --bucket-name higgs-2
    """
    options = table_options_of(flags)
    with errors_name_data({"--file-path": file_path}):
        spec = parse_data_spec(file_path, options)
    shared: dict[str, Any] = {
        "n_workers": n_workers,
        "s3": s3_client(endpoint_url),
        "bucket": bucket_name,
        "seed": seed,
        "shuffle": not no_shuffle,
        "format": form,
        "limit": n_workers * DUMMY_ROWS_PER_PARTITION if use_dummy_data else None,
        "spill_dir": spill_dir,
    }
    with progress_bar(f"partitioning {spec.name}") as progress:
        if isinstance(spec, TableSpec):
            _refuse_of_tables(dataset_type, n_features, zero_based)
            manifest = partition_table(spec, valid_ratio=valid_ratio, progress=progress, **shared)
        elif isinstance(spec, ImageFolderSpec):
            _refuse_of_tables("dense_libsvm", n_features, zero_based)
            manifest = _partition_folder(spec, shared, progress)
        elif isinstance(spec, FileSpec):
            manifest = partition_file(
                spec.path,
                data_type=dataset_type,
                missing=spec.missing,
                n_features=n_features,
                zero_based=zero_based,
                progress=progress,
                **shared,
            )
        else:
            raise InputError(f"--file-path {file_path}: is no file\n`harness run --data {file_path}` partitions it")
    if as_json:
        click.echo(msgspec.json.encode(manifest))
    else:
        click.echo("\n".join(_told(manifest, bucket_name)))


def _told(manifest: Manifest, bucket: str) -> list[str]:
    zero_based = [ZERO_BASED_NOTE] if manifest.zero_based else []
    where = f"s3://{bucket} as {manifest.keys[0]} to {manifest.keys[-1]}"
    rows = f"{manifest.rows:,} rows of {manifest.features:,} features from {manifest.source}"
    return [f"{rows} are in {where}", *zero_based, *manifest.notes]


def _partition_folder(spec: ImageFolderSpec, shared: dict[str, Any], progress: Progress | None) -> Manifest:
    """Partition a folder of images.

    Raises:
        InputError: An option is for files, or the folder is wrong.
    """
    refused = {"--no-shuffle": not shared.pop("shuffle"), "--use-dummy-data": shared.pop("limit") is not None}
    refused["--format"] = shared.pop("format") != "npz"
    for flag, is_given in refused.items():
        if is_given:
            raise InputError(
                f"{flag} is for files; the images of a folder are shuffled, all of them, and stored as npz"
            )
    return partition_images(spec, progress=progress, **shared)


def _refuse_of_tables(dataset_type: DatasetType, n_features: int | None, zero_based: ZeroBased) -> None:
    """Refuse options that only rows without columns take.

    Raises:
        InputError: There is one.
    """
    given = {
        "--dataset-type": dataset_type != "dense_libsvm",
        "--n-features": n_features is not None,
        "--zero-based": zero_based != "auto",
    }
    for flag, is_given in given.items():
        if is_given:
            raise InputError(f"{flag} is for LIBSVM text and CIFAR-10's format; other data decides its features itself")
