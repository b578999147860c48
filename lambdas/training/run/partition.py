"""A worker's partition: read from S3, checked against its manifest, split into training and validation rows.

Rank 0 also reads the schema beside the partitions, for the model.
"""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data import dataset
from training.data.manifest import Partition
from training.data.schema import SCHEMA_KEY, Schema, decode_schema, schema_digest
from training.data.shard import HeldOutRows, Shard
from training.errors import InputError
from training.job import WorkerJob
from training.model.base import Classes, Rows
from training.run.mapped_memory import give_back, mapped
from training.run.results import MOST_RECORD_BYTES, get_large_object, get_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Training needs the other half of the function's memory for what it computes from the rows.
MOST_PARTITION_BYTES = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")) * 1024 * 1024 // 2
# Labels that become classes together: temporary arrays of all rows would need as much memory again.
_ROWS_AT_ONCE = 1 << 18


def load_shard(s3: "S3Client", job: WorkerJob) -> Shard:
    """Read this rank's rows; `y` holds labels unless the job names the label of each class.

    Raises:
        InputError: The object is not this rank's partition, or no partition of such a job.
        StorageError: S3 fails.
    """
    rows, y = _rows_of(s3, job, job.data_bucket, job.file, job.expected)
    if job.expected is not None:
        n_train = job.expected.training_rows(len(y), job.valid_ratio)
    else:
        n_train = len(y) - int(job.valid_ratio * len(y))
    test = _load_test(s3, job)
    ours = _is_ours(rows.x) and (test is None or _is_ours(test.x))
    return Shard(rows.x[:n_train], y[:n_train], rows.x[n_train:], y[n_train:], test, rows_are_ours=ours)


def _is_ours(x: Rows) -> bool:
    """Return whether nobody else holds rows, so that they may be overwritten by scaled ones."""
    return isinstance(x, np.ndarray) and x.dtype == np.float32 and bool(x.flags.writeable)


def _load_test(s3: "S3Client", job: WorkerJob) -> HeldOutRows | None:
    if job.test_bucket is None:
        return None
    rows, y = _rows_of(s3, job, job.test_bucket, job.test_partition(job.rank), job.test_expected)
    return HeldOutRows(rows.x, y)


def _rows_of(
    s3: "S3Client", job: WorkerJob, bucket: str, key: str, expected: Partition | None
) -> tuple[dataset.Dataset, Any]:
    """Return the rows of a partition, and their classes, their targets, or their labels."""
    source = f"s3://{bucket}/{key}"
    body, etag = get_large_object(s3, bucket, key, most_bytes=MOST_PARTITION_BYTES)
    if expected is not None:
        expected.check(body, etag, source)
    rows = dataset.decode_partition(
        body,
        source=source,
        n_features=job.n_features,
        data_type=job.data_type,
        # The partitioner writes text with indices from 1, whatever its source has.
        zero_based=job.zero_based == "yes" and expected is None,
    )
    if job.optim == "em":
        return rows, np.zeros(rows.rows, np.int64)  # a clustering ignores labels
    if job.task == "classification" and job.labels is not None:
        return rows, _numbered(rows.y, job.labels, source, body)
    return rows, rows.y


def _numbered(y: dataset.FloatArray, labels: list[float], source: str, body: bytes | memoryview) -> Classes:
    """Return the class of each row, and give the memory of the labels back on the way."""
    classes = np.frombuffer(mapped(8 * len(y)), np.int64)
    for start in range(0, len(y), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        classes[part] = dataset.to_classes(y[part], labels, source, start)
        give_back(y[part], body)
    return classes


def load_schema(s3: "S3Client", job: WorkerJob) -> Schema | None:
    """Return the schema of the data, on rank 0; None on the other ranks, and for data without one.

    Raises:
        InputError: The schema beside the partitions is missing, or is not the one that the manifest has.
        StorageError: S3 fails.
    """
    if job.rank != 0 or job.schema_sha256 is None:
        return None
    key = job.data_prefix + SCHEMA_KEY
    source = f"s3://{job.data_bucket}/{key}"
    schema = decode_schema(get_object(s3, job.data_bucket, key, most_bytes=MOST_RECORD_BYTES), source)
    if schema_digest(schema) != job.schema_sha256:
        raise InputError(f"{source} is not the schema that the manifest beside it has\npartition the data again")
    return schema
