"""The test set of a run: partitioned like the data, with the columns and classes of the training data."""

from typing import TYPE_CHECKING

import msgspec

from harness.datasets.partitions import Manifest
from harness.datasets.specs import BucketSpec, DataSpec, bucket_for
from harness.datasets.tables.objects import find_objects
from harness.errors import HarnessError
from harness.runs.data import DATA_FOLDER, Data, find_or_make
from training.data.labels import format_label, format_labels
from training.data.schema import Schema, schema_digest
from training.errors import InputError
from training.job import Job

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def prepare_test_set(spec: DataSpec | None, job: Job, data: Data, s3: "S3Client", deployed_bucket: str = "") -> Job:
    """Make the partitions of a test set, and return the job with the keys that name them.

    Args:
        spec: The test set; None for none, which changes nothing.
        job: The job, with the shape of its training data.
        data: The training data.
        s3: A client.
        deployed_bucket: The only bucket that functions may read; empty where each data set has its own bucket.

    Raises:
        InputError: The rows are wrong, or have other columns or labels than the training data.
        HarnessError: The bucket holds partitions for another number of workers.
    """
    if spec is None:
        return job
    if isinstance(spec, BucketSpec):
        spec = find_objects(s3, spec.bucket, spec.prefix, spec.options) or spec
    asked = job
    if data.manifest is not None:
        # A file whose own indices say otherwise would be read with its columns shifted.
        job = msgspec.structs.replace(job, zero_based="yes" if data.manifest.zero_based else "no")
    schema = data.manifest.schema if data.manifest else None
    bucket, prefix = _place(spec, job, schema, deployed_bucket)
    manifest = find_or_make(spec, job, s3, bucket, prefix, schema)
    if manifest is not None:
        _check(manifest, f"test set {spec.name}", job, data)
    return msgspec.structs.replace(asked, test_bucket=bucket, test_prefix=prefix)


def _place(spec: DataSpec, job: Job, schema: Schema | None, deployed_bucket: str) -> tuple[str, str]:
    """Return the bucket and the folder of a test set's partitions."""
    if isinstance(spec, BucketSpec):
        return spec.bucket, spec.prefix
    bucket, prefix = bucket_for(spec, job.seed, job.n_workers, job.data_type, job.zero_based, job.valid_ratio), ""
    if deployed_bucket:
        bucket, prefix = deployed_bucket, f"{DATA_FOLDER}{bucket}/"
    # The same rows are other numbers with the schema of other training data.
    return bucket, prefix if schema is None else f"{prefix}test-{schema_digest(schema)[:16]}/"


def _check(test: Manifest, named: str, job: Job, data: Data) -> None:
    """Compare a test set with the training data.

    Raises:
        InputError: It has other rows, columns or labels.
        HarnessError: It has another number of partitions.
    """
    if test.n_partitions != job.n_workers:
        raise HarnessError(
            f"{named} holds {test.n_partitions} partitions, n_workers is {job.n_workers}",
            remedy=f"set --n-workers {test.n_partitions}, or partition it again",
        )
    if test.data_type != job.data_type:
        raise InputError(f"{named} has rows of type {test.data_type}, and {data.name} of type {job.data_type}")
    if test.features > job.n_features:
        raise InputError(
            f"{named} has {test.features} columns, and {data.name} {job.n_features}: the model knows no others\n"
            "name a test set with the columns of the training data"
        )
    schema = data.manifest.schema if data.manifest else None
    if test.schema != schema:
        raise InputError(
            f"{named} was not partitioned with the columns of {data.name}\n"
            "name the files of the test set, or partitions of data without columns"
        )
    if job.task != "classification" or data.manifest is None or test.labels is None:
        return  # workers compare labels, too
    known = data.manifest.classes(job.n_classes, data.name)
    unknown = [float(count.label) for count in test.labels if float(count.label) not in known]
    if unknown:
        raise InputError(
            f"{named} has the label {format_label(unknown[0])}, which the training data lacks: {format_labels(known)}\n"
            "leave such rows out of the test set, or train with rows of this label"
        )
