"""The runs that a result bucket knows."""

from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from training.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class RunEntry(msgspec.Struct, frozen=True):
    """One run: `succeeded` when its result is there, `failed` when a worker said so, else `unfinished`."""

    run_id: str
    status: str
    dataset: str
    n_workers: int
    loss: float | None


def list_runs(s3: "S3Client", bucket: str) -> list[RunEntry]:
    """All runs of a bucket, sorted by name: names that the harness gives begin with the time."""
    try:
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="runs/", Delimiter="/"))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise
    prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return [_entry(RunFolder(s3, bucket, prefix.split("/")[1]), prefix.split("/")[1]) for prefix in sorted(prefixes)]


def _entry(folder: RunFolder, run_id: str) -> RunEntry:
    job = (folder.read_json("job.json") or {}).get("job", {})
    result = folder.read_json("result.json")
    status = "succeeded" if result else "failed" if folder.names("failed/") else "unfinished"
    loss = result["loss"] if result else None
    return RunEntry(run_id, status, job.get("dataset", ""), job.get("n_workers", 0), loss)
