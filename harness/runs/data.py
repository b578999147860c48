"""The data of a run: from `--data` to partitions in a bucket, which are made only if they do not exist yet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import structs

from harness.datasets.partitioning import partition_set
from harness.datasets.partitions import Manifest, read_manifest
from harness.datasets.progress import progress_bar
from harness.datasets.specs import BucketSpec, DataSpec, bucket_for
from harness.errors import HarnessError
from training.errors import JobError
from training.job import Job, ZeroBased
from training.matrix import check_combination

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The folder of data sets in a deployment's bucket; the roles of its functions grant access to it.
DATA_FOLDER = "data/"


@dataclass(frozen=True, slots=True)
class Data:
    """Partitions in a bucket.

    Attributes:
        bucket: The bucket.
        name: The name of the data.
        shape: `dataset_type`, `n_features`, `n_classes` and `zero_based`, as far as the manifest has them.
        prefix: Their folder in the bucket, with a trailing `/`; empty for the top.
        manifest: Their manifest; None for partitions that the harness did not make.
    """

    bucket: str
    name: str
    shape: dict[str, Any]
    prefix: str = ""
    manifest: Manifest | None = None


def prepare_data(spec: DataSpec, job: Job, s3: "S3Client", deployed_bucket: str = "") -> Data:
    """Make the partitions of a data set, unless they are already in their bucket.

    Args:
        spec: The data set.
        job: The job, for its number of workers, its seed, and the type of a file's rows.
        s3: A client.
        deployed_bucket: The only bucket that functions may read, with one folder per data set; empty where each data
            set has its own bucket.

    Raises:
        InputError: The data is wrong, or of a type that the model does not accept.
        HarnessError: The bucket holds partitions for another number of workers.
    """
    if spec.data_type:
        check_combination({**structs.asdict(job), "dataset_type": spec.data_type})
    bucket, prefix = bucket_for(spec, job.seed, job.n_workers, job.data_type, job.zero_based), ""
    if isinstance(spec, BucketSpec):
        prefix = spec.prefix
    elif deployed_bucket:
        bucket, prefix = deployed_bucket, f"{DATA_FOLDER}{bucket}/"
    manifest = read_manifest(s3, bucket, prefix)
    if manifest is None and not isinstance(spec, BucketSpec):
        with progress_bar(f"partitioning {spec.name}") as progress:
            manifest = partition_set(
                spec,
                n_workers=job.n_workers,
                s3=s3,
                bucket=bucket,
                seed=job.seed,
                data_type=job.data_type,
                zero_based=job.zero_based,
                progress=progress,
                prefix=prefix,
            )
    if manifest is None:
        # The harness did not make these partitions; the coordinator checks that they exist.
        return Data(bucket, spec.name, {}, prefix)
    if manifest.n_partitions != job.n_workers:
        raise HarnessError(
            f"{BucketSpec(bucket, prefix).name} holds {manifest.n_partitions} partitions, n_workers is {job.n_workers}",
            remedy=f"set --n-workers {manifest.n_partitions}, or partition the data anew",
        )
    base: ZeroBased = "yes" if manifest.zero_based else "no"
    if job.zero_based not in {"auto", base}:
        raise JobError("zero_based", job.zero_based, f"auto or {base}, as {spec.name} was read so")
    shape: dict[str, Any] = {
        "dataset_type": manifest.data_type,
        "n_features": manifest.features,
    }
    if manifest.zero_based:
        shape["zero_based"] = "yes"
    if job.optim != "em":  # a clustering ignores labels
        shape["n_classes"] = len(manifest.classes(job.n_classes, spec.name))
    return Data(bucket, spec.name, shape, prefix, manifest)


def check_shape(event: dict[str, Any], data: Data) -> None:
    """Compare the user's keys about the data with its manifest.

    Raises:
        JobError: They differ.
    """
    for field, found in data.shape.items():
        asked = event.get(field, found)
        # Columns that the data lacks are zero, and classes that it lacks have no rows; images have a fixed size.
        wider = field == "n_classes" or (field == "n_features" and data.shape["dataset_type"] != "cifar10")
        if wider and asked < found:
            raise JobError(field, asked, f"{found} or more, as {data.name} has {found}; or leave it out")
        if asked not in (found, "auto") and not wider:
            raise JobError(field, asked, f"{found}, as {data.name} has it")
