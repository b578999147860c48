"""A worker's partition: read from S3, checked against its manifest, split into training and validation rows."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data import dataset
from training.data.shard import Shard
from training.job import WorkerJob
from training.run.results import get_large_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Training needs the other half of the function's memory for what it computes from the rows.
MOST_PARTITION_BYTES = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")) * 1024 * 1024 // 2


def load_shard(s3: "S3Client", job: WorkerJob) -> Shard:
    """Read this rank's rows; `y` holds labels unless the job names the label of each class.

    Raises:
        InputError: The object is not this rank's partition, or no partition of such a job.
        StorageError: S3 fails.
    """
    source = f"s3://{job.data_bucket}/{job.file}"
    body, etag = get_large_object(s3, job.data_bucket, job.file, most_bytes=MOST_PARTITION_BYTES)
    if job.expected is not None:
        job.expected.check(body, etag, source)
    rows = dataset.decode_partition(
        body,
        source=source,
        n_features=job.n_features,
        data_type=job.data_type,
        # The partitioner writes text with indices from 1, whatever its source has.
        zero_based=job.zero_based == "yes" and job.expected is None,
    )
    y: Any = rows.y
    if job.optim == "em":
        y = np.zeros(len(y), np.int64)  # a clustering ignores labels
    elif job.labels is not None:
        y = dataset.to_classes(rows.y, job.labels, source)
    n_train = len(y) - int(job.valid_ratio * len(y))
    return Shard(rows.x[:n_train], y[:n_train], rows.x[n_train:], y[n_train:])
