"""The measurements of a finished run, read from its folder, in S3 or kept."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.history.folder import RunRecords
from harness.report.forecast import Measured
from harness.runs.predict import model_of_run
from harness.runs.records import damage_named, record_names
from training.job import Job, decode_job


def measured_run(folder: RunRecords, bytes_of: Callable[[Job], int]) -> tuple[Measured, Job]:
    """Read the measurements of a run, and its job.

    Args:
        folder: The run's folder.
        bytes_of: Returns the size of a job's partitions in bytes; 0 if they no longer exist.

    Raises:
        HarnessError: There is no such run, it has not finished, or it lacks a measurement, which is named.
    """
    with damage_named(folder):
        return _measured(folder, bytes_of)


def _measured(folder: RunRecords, bytes_of: Callable[[Job], int]) -> tuple[Measured, Job]:
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
    links = _links(folder, job.n_workers)
    if sorted(workers) != sorted(timings) or len(workers) != job.n_workers:
        raise HarnessError(
            f"run {run_id} has records of {len(workers)} workers and timings of {len(timings)}; it had {job.n_workers}",
            folder.location("telemetry/"),
        )
    compute_s, other_s, all_reduces = [], [], 0
    for rank, worker in workers.items():
        train_s, rounds_ms, all_reduce_ms = 0.0, list[float](), list[float]()
        for record, timing in [*links.get(rank, []), (worker, timings[rank])]:
            of_link, reduces_ms = (
                _figures(timing, key, folder, f"telemetry/{rank}.json") for key in ("round_ms", "all_reduce_ms")
            )
            rounds_ms, all_reduce_ms = rounds_ms + of_link, all_reduce_ms + reduces_ms
            train_s += _phase(record, "train", folder) - sum(of_link) * timing.get("rounds_per_entry", 1) / 1e3
            all_reduces += timing.get("all_reduces", len(reduces_ms)) if rank == 0 else 0
        compute_s.append(max(0.0, statistics.median(rounds_ms) - statistics.median(all_reduce_ms)) / 1e3)
        other_s.append(max(0.0, train_s))
    rounds = int(result["rounds"])
    rows = sum(worker["rows"] for worker in workers.values())
    per_epoch = rounds / max(1, len(result["epochs"]))
    data_bytes = bytes_of(job) or rows * (job.n_features + 1) * 4
    half = job.exchange_dtype == "float16" and job.significance == 0
    # The loss is sent with the update.
    part_bytes = (model_of_run(folder).parameters.nbytes + 4) // (2 if half else 1)
    measured = Measured(
        run_id=run_id,
        sync_mode=job.sync_mode,
        workers=len(workers),
        rows=rows,
        data_bytes=data_bytes,
        part_bytes=part_bytes,
        rounds=rounds,
        other_all_reduces=max(0, all_reduces - rounds),
        round_rows=round(rows / per_epoch),
        compute_s=statistics.median(compute_s) * len(workers),
        # The rank that joins last waits for nobody, so its time is closest to the work itself.
        evaluation_s=min(other_s) * len(workers),
        decode_s=min(_phase(worker, "load", folder) for worker in workers.values()) * len(workers),
        max_rss_mb=max(worker["max_rss_mb"] for worker in workers.values()),
    )
    return measured, job


def _newest(folder: RunRecords, kind: str, n_ranks: int) -> dict[int, dict[str, Any]]:
    """Return the record of each rank's last attempt."""
    tries: dict[int, int] = {}
    for name in record_names(folder, kind, n_ranks):
        rank, attempt = map(int, name.removeprefix(kind).split(".")[:2])
        tries[rank] = max(attempt, tries.get(rank, 0))
    return {rank: folder.read_json(f"{kind}{rank}.{attempt}.json") for rank, attempt in sorted(tries.items())}


def _links(folder: RunRecords, n_ranks: int) -> dict[int, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Return the records of the links before each rank's last one, with their timings."""
    found: dict[int, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for name in record_names(folder, "links/", n_ranks):
        record, timing = folder.read_json(name), folder.read_json(name.replace("links/", "telemetry/"))
        if timing is not None:  # workers before version 2 stored none
            found.setdefault(record["rank"], []).append((record, timing))
    return found


def _figures(record: dict[str, Any], key: str, folder: RunRecords, name: str) -> list[float]:
    figures = record.get(key)
    if not figures or not np.isfinite(figures).all():
        raise HarnessError(
            f"run {folder.run_id} has no figures of {key}", folder.location(name), "run it again with this version"
        )
    return [float(figure) for figure in figures]


def _phase(worker: dict[str, Any], name: str, folder: RunRecords) -> float:
    seconds = worker.get("phases", {}).get(name)
    if seconds is None:
        raise HarnessError(
            f"run {folder.run_id} does not tell how long its workers took to {name}", folder.location("workers/")
        )
    return float(seconds)
