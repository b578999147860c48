"""The runs that are kept, and those in the buckets of a stack or of a deployment."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from harness.errors import HarnessError
from harness.history.folder import KeptFolder, RunRecords, kept_runs
from training.errors import InputError
from training.run.invoking import CONNECTIONS
from training.run.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class RunEntry(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        run_id: The run.
        status: `running`, `succeeded`, `failed`, `stopped`, `unfinished` if its stack went before it ended, or
            `damaged` if a record is not one that workers store.
        dataset: The name of its data.
        n_workers: The number of its workers.
        loss: Its final loss; None if it has not succeeded.
        bucket: The bucket with its results.
        model: The model that it trains.
        started_at: When it was started, seconds since the epoch; 0 if unknown.
        seconds: How long it took; None if unknown.
        target: Where it ran: `local`, `rehearsal` or `aws`.
        kept: Whether the project keeps it.
        job: Its job.
        figures: Further results: accuracy, rounds, cost_usd, validation_loss and so on.
        differs: The keys of its job that differ among the runs that are listed with it.
    """

    run_id: str
    status: str
    dataset: str
    n_workers: int
    loss: float | None
    bucket: str = ""
    model: str = ""
    started_at: float = 0.0
    seconds: float | None = None
    target: str = "local"
    kept: bool = False
    job: dict[str, Any] = {}
    figures: dict[str, float] = {}
    differs: dict[str, Any] = {}


class _Job(msgspec.Struct):
    dataset: str = ""
    n_workers: int = 0
    model: str = ""


class _JobRecord(msgspec.Struct):
    job: dict[str, Any] = {}


class _Result(msgspec.Struct):
    loss: float | None
    rounds: int = 0
    accuracy: float | None = None
    validation: dict[str, Any] | None = None
    cost_usd: float | None = None


def result_buckets(s3: "S3Client", own: str) -> list[str]:
    """Return all buckets of a stack, the harness's own first.

    A run that was started by `aws lambda invoke` stores its results in the bucket of its data, unless its event names
    another one.
    """
    names = sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"])
    return [own, *(name for name in names if name != own)]


def list_runs(s3: "S3Client", buckets: Sequence[str]) -> list[RunEntry]:
    """Return all runs in these buckets, sorted by run id: ids that the harness makes begin with the time."""
    return entries_at(s3, run_places(s3, buckets))


def entries_at(s3: "S3Client", places: Sequence[tuple[str, str]]) -> list[RunEntry]:
    """Return the runs at these places, each a bucket and a run id, sorted by run id."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        entries = pool.map(lambda place: _entry(RunFolder(s3, *place), place[0]), places)
        return sorted(entries, key=lambda entry: (entry.run_id, entry.bucket))


def run_places(s3: "S3Client", buckets: Sequence[str]) -> list[tuple[str, str]]:
    """Return the bucket and the id of each run in these buckets."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        ids = pool.map(lambda name: _run_ids(s3, name), buckets)
        return [(bucket, run_id) for bucket, own in zip(buckets, ids, strict=True) for run_id in own]


def _run_ids(s3: "S3Client", bucket: str) -> list[str]:
    try:
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="runs/", Delimiter="/"))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise
    prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return [prefix.split("/")[1] for prefix in prefixes]


def kept_entries(root: Path) -> list[RunEntry]:
    """Return all kept runs, the oldest first."""
    return [_kept_entry(folder) for folder in kept_runs(root)]


def _kept_entry(folder: KeptFolder) -> RunEntry:
    record = folder.record()
    found = _entry(folder, record.bucket if record else "", "summary.json")
    if record is None:
        return msgspec.structs.replace(found, status="damaged", kept=True)
    return msgspec.structs.replace(
        found,
        status=found.status if found.status == "damaged" else record.status,
        started_at=record.started_at,
        seconds=record.seconds,
        target=record.target,
        kept=True,
    )


def _entry(folder: RunRecords, bucket: str, result_name: str = "result.json") -> RunEntry:
    entry = RunEntry(folder.run_id, "damaged", "", 0, None, bucket)
    try:
        record = folder.read_as("job.json", _JobRecord) or _JobRecord()
        job = msgspec.convert(record.job, _Job)
        entry = msgspec.structs.replace(
            entry, dataset=job.dataset, n_workers=job.n_workers, model=job.model, job=record.job
        )
        result = folder.read_as(result_name, _Result)
        if result is None:
            status = "failed" if folder.names("failed/") else "unfinished"
            return msgspec.structs.replace(entry, status=status)
    except (InputError, HarnessError, msgspec.ValidationError):
        return entry
    return msgspec.structs.replace(entry, status="succeeded", loss=result.loss, figures=_figures(result))


def _figures(result: _Result) -> dict[str, float]:
    found = {"accuracy": result.accuracy, "rounds": result.rounds, "cost_usd": result.cost_usd}
    found |= {f"validation_{name}": value for name, value in (result.validation or {}).items()}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}
