"""The runs in the buckets of a stack, or of a deployment."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from harness.errors import HarnessError
from training.errors import InputError
from training.run.invoking import CONNECTIONS
from training.run.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class RunEntry(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        run_id: The run.
        status: `succeeded` if its result exists, `failed` if a worker has reported a failure, `damaged` if a record
            is not one that workers store, else `unfinished`.
        dataset: The name of its data.
        n_workers: The number of its workers.
        loss: Its final loss; None if it has not succeeded.
        bucket: The bucket with its results.
    """

    run_id: str
    status: str
    dataset: str
    n_workers: int
    loss: float | None
    bucket: str = ""


class _Job(msgspec.Struct):
    dataset: str = ""
    n_workers: int = 0


class _JobRecord(msgspec.Struct):
    job: _Job = msgspec.field(default_factory=_Job)


class _Result(msgspec.Struct):
    loss: float | None


def result_buckets(s3: "S3Client", own: str) -> list[str]:
    """Return all buckets of a stack, the harness's own first.

    A run that was started by `aws lambda invoke` stores its results in the bucket of its data, unless its event names
    another one.
    """
    names = sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"])
    return [own, *(name for name in names if name != own)]


def list_runs(s3: "S3Client", buckets: Sequence[str]) -> list[RunEntry]:
    """Return all runs in these buckets, sorted by run id: ids that the harness makes begin with the time."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = [
            (bucket, run_id)
            for bucket, ids in zip(buckets, pool.map(lambda name: _run_ids(s3, name), buckets), strict=True)
            for run_id in ids
        ]
        entries = pool.map(lambda place: _entry(s3, *place), found)
        return sorted(entries, key=lambda entry: (entry.run_id, entry.bucket))


def bucket_of_run(s3: "S3Client", buckets: Sequence[str], run_id: str) -> str:
    """Return the first of these buckets that has a folder of this run.

    Raises:
        HarnessError: None of them has.
    """
    for bucket in buckets:
        if _keys(s3, bucket, f"runs/{run_id}/", most=1):
            return bucket
    where = f"looked in bucket {', '.join(buckets[:5])}" + (f" and {len(buckets) - 5} more" if buckets[5:] else "")
    raise HarnessError(f"there is no run {run_id}", where, "see `harness runs` for the runs there are")


def _run_ids(s3: "S3Client", bucket: str) -> list[str]:
    try:
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="runs/", Delimiter="/"))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise
    prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return [prefix.split("/")[1] for prefix in prefixes]


def _keys(s3: "S3Client", bucket: str, prefix: str, most: int) -> list[str]:
    try:
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=most)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise
    return [entry["Key"] for entry in answer.get("Contents", [])]


def _entry(s3: "S3Client", bucket: str, run_id: str) -> RunEntry:
    folder = RunFolder(s3, bucket, run_id)
    job = _Job()
    try:
        record = folder.read_as("job.json", _JobRecord)
        job = record.job if record else job
        result = folder.read_as("result.json", _Result)
    except InputError:
        return RunEntry(run_id, "damaged", job.dataset, job.n_workers, None, bucket)
    status = "succeeded" if result else "failed" if folder.names("failed/") else "unfinished"
    return RunEntry(run_id, status, job.dataset, job.n_workers, result.loss if result else None, bucket)
