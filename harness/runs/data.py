"""The data of a run: from `--data` to partitions in a bucket, made only when they are not there yet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fixtures.datasets import BucketSpec, DataSpec, FileSpec, bucket_for, load_arrays
from fixtures.partition_data import Manifest, partition_arrays, partition_file, read_manifest
from harness.errors import HarnessError
from training.errors import JobError
from training.job import Job

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Data:
    """Partitions that lie in a bucket.

    Attributes:
        bucket: The bucket.
        name: What the data is called.
        shape: `n_features` and `n_classes` as far as the partitions' manifest tells them.
    """

    bucket: str
    name: str
    shape: dict[str, Any]


def prepare_data(spec: DataSpec, job: Job, s3: "S3Client") -> Data:
    """Makes sure that the partitions of a data set lie in a bucket.

    Args:
        spec: The data set.
        job: Gives the number of workers and the seed.
        s3: Where to.

    Raises:
        InputError: The data is wrong.
        HarnessError: The bucket holds partitions for another number of workers.
    """
    bucket = bucket_for(spec, job.seed, job.n_workers)
    manifest = read_manifest(s3, bucket)
    if manifest is None and not isinstance(spec, BucketSpec):
        manifest = _partition(spec, bucket, job, s3)
    if manifest is None:
        # Partitions that others made; the coordinator checks that they are there.
        return Data(bucket, spec.name, {})
    if manifest.n_partitions != job.n_workers:
        raise HarnessError(
            f"bucket {bucket} holds {manifest.n_partitions} partitions, n_workers is {job.n_workers}",
            remedy=f"set --n-workers {manifest.n_partitions}, or partition the data anew",
        )
    return Data(bucket, spec.name, {"n_features": manifest.features, "n_classes": manifest.n_classes})


def check_shape(event: dict[str, Any], data: Data) -> None:
    """Compares what the user said of the data with what its manifest says.

    Raises:
        JobError: They differ.
    """
    for field, found in data.shape.items():
        asked = event.get(field, found)
        if asked < found or (field == "n_features" and asked != found):
            raise JobError(field, asked, f"{found}, as {data.name} has it")


def _partition(spec: DataSpec, bucket: str, job: Job, s3: "S3Client") -> Manifest:
    if isinstance(spec, FileSpec):
        return partition_file(spec.path, n_workers=job.n_workers, s3=s3, bucket=bucket, seed=job.seed)
    assert not isinstance(spec, BucketSpec)  # noqa: S101 - its partitions are never made here
    arrays = load_arrays(spec, job.seed)
    return partition_arrays(
        arrays.x,
        arrays.y,
        n_workers=job.n_workers,
        s3=s3,
        bucket=bucket,
        seed=job.seed,
        source=arrays.name,
        synthetic=arrays.synthetic,
    )
