"""The measurements of a finished run, read from its folder, in S3 or kept."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.history.folder import KeptFolder, RunRecords
from harness.report.measurements import Measured
from harness.runs.predict import model_of_run
from harness.runs.records import damage_named, record_names
from harness.runs.standing import StandingFolder
from training.job import Job, decode_job

# Interpreter, NumPy, boto3 and its clients on one core of the development machine, without a parent that has imported
# them; assumed where a run has not measured it.
USUAL_IMPORTS_S = 0.5


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
    run_id, (record, result) = folder.run_id, _finished(folder)
    job = decode_job(record["job"], Job)
    workers = _newest(folder, "workers/", job.n_workers)
    timings = _newest(folder, "telemetry/", job.n_workers)
    links = _links(folder, job.n_workers)
    if sorted(workers) != sorted(timings) or len(workers) != job.n_workers:
        raise HarnessError(
            f"run {run_id} has records of {len(workers)} workers and timings of {len(timings)}; it had {job.n_workers}",
            folder.location("telemetry/"),
            "run it again, or forecast another run; see `harness runs`",
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
    imports_s, assumed = _imports(workers.values())
    mode = _mode(folder)
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
        imports_s=imports_s,
        image=mode not in ("", "process"),
        assumed=(*assumed, *_of_mode(mode), *_of_network(folder)),
    )
    return measured, job


def _finished(folder: RunRecords) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the job's record and the result of a run.

    Raises:
        HarnessError: There is no such run, or it has no result.
    """
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
    return record, result


def _imports(workers: Iterable[Mapping[str, Any]]) -> tuple[float, tuple[str, ...]]:
    """Return the median time before a worker's first invocation, and what is assumed where none has it."""
    known = [sum(worker["cold_start"].values()) for worker in workers if worker.get("cold_start")]
    if known:
        return statistics.median(known), ()
    return USUAL_IMPORTS_S, (f"all workers ran in warm environments: imports are taken for {USUAL_IMPORTS_S:g} s",)


def _of_mode(mode: str) -> tuple[str, ...]:
    if mode != "process":
        return ()
    text = "functions start as in the run, from zips whose libraries are imported already; for images on AWS, add"
    return (f"{text} --package image --imports {USUAL_IMPORTS_S:g}",)


def _of_network(folder: RunRecords) -> tuple[str, ...]:
    summary = folder.read_json("summary.json") if isinstance(folder, KeptFolder) else None
    if not isinstance(summary, dict) or not summary.get("network"):
        return ()
    return ("the run was on an emulated network: its reads of S3 count as decoding too; make it without --network",)


def _mode(folder: RunRecords) -> str:
    """Return how the run's functions ran: `process`, `container`, or where; empty if that is not known."""
    if isinstance(folder, KeptFolder):
        record = folder.record()
        return record.mode if record is not None else ""
    return folder.target.mode if isinstance(folder, StandingFolder) else ""


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
            f"run {folder.run_id} does not tell how long its workers took to {name}",
            folder.location("workers/"),
            "run it again, or forecast another run; see `harness runs`",
        )
    return float(seconds)
