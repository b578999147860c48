"""The measurements of a finished run, read from its folder in S3."""

import statistics
from typing import TYPE_CHECKING, Any

import numpy as np
from botocore.exceptions import ClientError

from harness.errors import HarnessError
from harness.report.forecast import Measured
from harness.runs.predict import model_of_run
from harness.runs.records import damage_named, record_names
from training.job import Job, decode_job
from training.run.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def measured_run(s3: "S3Client", bucket: str, run_id: str) -> tuple[Measured, Job]:
    """Read the measurements of a run, and its job.

    Args:
        s3: A client.
        bucket: The bucket of the run's results.
        run_id: The run.

    Raises:
        HarnessError: There is no such run, it has not finished, or it lacks a measurement, which is named.
    """
    folder = RunFolder(s3, bucket, run_id)
    with damage_named(folder):
        return _measured(s3, bucket, folder)


def _measured(s3: "S3Client", bucket: str, folder: RunFolder) -> tuple[Measured, Job]:
    run_id = folder.run_id
    record = folder.read_json("job.json")
    if record is None:
        raise HarnessError(
            f"there is no run {run_id}", folder.location(""), "see `harness runs` for the runs there are"
        )
    result = folder.read_json("result.json")
    if result is None:
        raise HarnessError(
            f"run {run_id} has no result: it failed or has not finished",
            folder.location("result.json"),
            "a forecast needs a finished run; see `harness runs`",
        )
    job = decode_job(record["job"], Job)
    workers = _newest(folder, "workers/", job.n_workers)
    timings = _newest(folder, "telemetry/", job.n_workers)
    if sorted(workers) != sorted(timings) or len(workers) != job.n_workers:
        raise HarnessError(
            f"run {run_id} has records of {len(workers)} workers and timings of {len(timings)}; it had {job.n_workers}",
            folder.location("telemetry/"),
        )
    compute_s, other_s = [], []
    for rank, worker in workers.items():
        name = f"telemetry/{rank}.json"
        rounds_ms, all_reduce_ms = (_figures(timings[rank], key, folder, name) for key in ("round_ms", "all_reduce_ms"))
        compute_s.append(max(0.0, statistics.median(rounds_ms) - statistics.median(all_reduce_ms)) / 1e3)
        other_s.append(max(0.0, _phase(worker, "train", folder) - sum(rounds_ms) / 1e3))
    rounds = int(result["rounds"])
    rows = sum(worker["rows"] for worker in workers.values())
    per_epoch = rounds / max(1, len(result["epochs"]))
    data_bytes = _partition_bytes(s3, job, len(workers)) or rows * (job.n_features + 1) * 4
    half = job.exchange_dtype == "float16" and job.significance == 0
    # The loss is sent with the update.
    part_bytes = (model_of_run(s3, bucket, run_id).parameters.nbytes + 4) // (2 if half else 1)
    measured = Measured(
        run_id=run_id,
        sync_mode=job.sync_mode,
        workers=len(workers),
        rows=rows,
        data_bytes=data_bytes,
        part_bytes=part_bytes,
        rounds=rounds,
        other_all_reduces=max(0, len(timings[0]["all_reduce_ms"]) - rounds),
        round_rows=round(rows / per_epoch),
        compute_s=statistics.median(compute_s) * len(workers),
        # The rank that joins last waits for nobody, so its time is closest to the work itself.
        evaluation_s=min(other_s) * len(workers),
        decode_s=min(_phase(worker, "load", folder) for worker in workers.values()) * len(workers),
        max_rss_mb=max(worker["max_rss_mb"] for worker in workers.values()),
    )
    return measured, job


def _newest(folder: RunFolder, kind: str, n_ranks: int) -> dict[int, dict[str, Any]]:
    """Return the record of each rank's last attempt."""
    tries: dict[int, int] = {}
    for name in record_names(folder, kind, n_ranks):
        rank, attempt = map(int, name.removeprefix(kind).split(".")[:2])
        tries[rank] = max(attempt, tries.get(rank, 0))
    return {rank: folder.read_json(f"{kind}{rank}.{attempt}.json") for rank, attempt in sorted(tries.items())}


def _figures(record: dict[str, Any], key: str, folder: RunFolder, name: str) -> list[float]:
    figures = record.get(key)
    if not figures or not np.isfinite(figures).all():
        raise HarnessError(
            f"run {folder.run_id} has no figures of {key}", folder.location(name), "run it again with this version"
        )
    return [float(figure) for figure in figures]


def _phase(worker: dict[str, Any], name: str, folder: RunFolder) -> float:
    seconds = worker.get("phases", {}).get(name)
    if seconds is None:
        raise HarnessError(
            f"run {folder.run_id} does not tell how long its workers took to {name}", folder.location("workers/")
        )
    return float(seconds)


def _partition_bytes(s3: "S3Client", job: Job, workers: int) -> int:
    """Return the size of the run's partitions in bytes; 0 if some of them no longer exist."""
    sizes = []
    for rank in range(workers):
        try:
            sizes.append(s3.head_object(Bucket=job.data_bucket, Key=job.partition(rank))["ContentLength"])
        except ClientError:
            return 0
    return sum(sizes)
