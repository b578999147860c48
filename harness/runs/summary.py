"""The summary of a finished run: what `harness run --json` prints.

A chain of functions counts as one run: the times of all its links are added.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np

from harness.history.folder import RunRecords
from harness.insight.entries import entries_of_timings
from harness.insight.straggler import straggler_of
from harness.insight.timings import Floats, Timings
from harness.insight.view import Straggler
from harness.insight.waits import blame, side_by_side
from harness.presets.prices import load_prices
from harness.runs.cost import invocation_cost_usd
from harness.runs.emulated_network import RunNetwork
from harness.runs.progress import InvocationReport, Progress
from harness.runs.records import record_names
from harness.runs.run_events import merged_links
from training.run.invoking import CONNECTIONS
from training.run.telemetry import percentiles_ms


class Seconds(msgspec.Struct, frozen=True):
    """Where a run's wall time went.

    Attributes:
        total: From the invocation of the coordinator to the last result.
        start: From the invocation of the coordinator until the last worker's handler began for the first time.
        load: The longest time that a worker took to load its partition.
        train: The longest time that a worker took to train.
    """

    total: float
    start: float
    load: float
    train: float


class WorkerSummary(msgspec.Struct, frozen=True):
    """One rank.

    Attributes:
        rank: The rank.
        attempts: Attempts of its event, over all links; 1 when nothing went wrong.
        links: The length of its chain of functions, each of which handed over when it ran low on time.
        rows: Its training rows.
        seconds: The time of all its links together, failed attempts excluded.
        max_rss_mb: The peak resident size of its links.
        cpu_seconds: Processor time of its links' handlers.
        phases: Seconds of its links by phase: `load` (rows from S3; overlaps `join`), `join` (the lease and the
            connection), `train` (rounds, evaluations and waits for peers), `store` (results, up to its record).
        cold_start: Seconds by phase before the handler of a link ran for the first time: `interpreter`, `imports`,
            `s3_client`; null if all its links ran in warm environments.
        compute_s: Seconds of its rounds in which it did not wait for other ranks.
        wait_s: Seconds of its rounds in which it waited for frames of other ranks.
        blamed_s: The most seconds that any other rank waited for it while it waited for nobody, evaluations included.
        zone: The ID of the zone that its last link ran in; empty if it is not known.
    """

    rank: int
    attempts: int
    links: int
    rows: int
    seconds: float
    max_rss_mb: float
    cpu_seconds: float = 0.0
    phases: dict[str, float] = {}
    cold_start: dict[str, float] | None = None
    compute_s: float = 0.0
    wait_s: float = 0.0
    blamed_s: float = 0.0
    zone: str = ""


class Summary(msgspec.Struct, frozen=True):
    """A finished run.

    Attributes:
        run_id: Its name.
        status: `succeeded`; a failed run ends in an error instead.
        mode: How the stack ran.
        images: The digest of the image that each function ran from; empty in process mode.
        job: The job as the coordinator received it.
        defaults: The keys of the job that follow from the data, and that the user did not set.
        seconds: Where the time went.
        rounds: Training rounds.
        round_ms: Time of one round on rank 0, compute and exchange: p50 and p99, ms.
        all_reduce_ms: Time of one all-reduce on rank 0: p50 and p99, ms.
        rows_per_s: Training rows x epochs / the longest worker handler's seconds.
        loss: What is minimised, at the end: the mean training loss and the penalty.
        accuracy: Training accuracy at the end; null without classes.
        validation: The validation rows at the end: loss, accuracy and all metrics; null when there are none.
        epochs: The same after every epoch.
        workers: One entry per rank.
        exchange: How updates were exchanged: mode, collectives, encoding and its relative error.
        model: Where the trained model is stored, and its SHA-256.
        cost_usd: What the invocations would cost on AWS Lambda.
        events: What went wrong during the run, and how workers recovered.
        test: All metrics of the test set; null without one.
        classes: The label of each class, in the order of a confusion matrix; null without classes, or for too many.
        best_epoch: With patience, the epoch whose model is the result; null without.
        warnings: Signs that the model has learnt little: a `code`, and a `message` that says what to change.
        straggler: The rank that the others waited for longest; null if none stands out.
        network: The emulated network, with what it drew and delivered; null for a run without `--network`.
    """

    run_id: str
    status: str
    mode: str
    images: dict[str, str]
    job: dict[str, Any]
    defaults: dict[str, Any]
    seconds: Seconds
    rounds: int
    round_ms: dict[str, float]
    all_reduce_ms: dict[str, float]
    rows_per_s: float
    loss: float
    accuracy: float | None
    validation: dict[str, Any] | None
    epochs: list[dict[str, Any]]
    workers: list[WorkerSummary]
    exchange: dict[str, Any]
    model: dict[str, str]
    cost_usd: float
    events: list[dict[str, Any]]
    warnings: list[dict[str, str]]
    best_epoch: int | None = None
    test: dict[str, Any] | None = None
    classes: list[Any] | None = None
    straggler: Straggler | None = None
    network: RunNetwork | None = None


def summarise(  # noqa: PLR0913 - keywords only, each a part of the summary
    folder: RunRecords,
    timings: Mapping[int, Sequence[Timings]],
    *,
    mode: str,
    images: dict[str, str],
    job: dict[str, Any],
    defaults: dict[str, Any],
    reports: list[InvocationReport],
    progress: Progress,
    invoked_at: float,
    seconds: float,
) -> Summary:
    """Read what a run's ranks stored.

    Args:
        folder: The run's folder, complete.
        timings: The timings of each rank's attempts, the oldest first.
        mode: How the stack ran.
        images: The digest of each function's image.
        job: The job as the coordinator received it.
        defaults: The keys of the job that follow from the data.
        reports: REPORT lines of all its invocations.
        progress: What the follower saw of the run.
        invoked_at: When the coordinator was invoked, seconds since the epoch.
        seconds: From then to the last result.
    """
    result = folder.read_json("result.json")
    workers = _read_workers(folder, progress)
    straggler, blamed_s = _blamed(timings)
    slowest = max(worker["seconds"] for worker in workers)
    rows = sum(worker["rows"] for worker in workers)
    # An epoch of admm is a round of several passes; the result of k-means has the epochs of its best start only.
    prices = load_prices()
    passes = {"admm": job["n_epochs"], "em": result["rounds"] / len(result["epochs"])}.get(job["optim"], 1)
    return Summary(
        run_id=result["run_id"],
        status="succeeded",
        mode=mode,
        images=images,
        job=job,
        defaults=defaults,
        seconds=Seconds(
            total=seconds,
            start=max(worker["started_at"] for worker in workers) - invoked_at,
            load=max(worker["phases"]["load"] for worker in workers),
            train=max(worker["phases"]["train"] for worker in workers),
        ),
        rounds=result["rounds"],
        round_ms=_percentiles(workers[0], "round_ms", (one.round_s for one in timings[0])),
        all_reduce_ms=_percentiles(workers[0], "all_reduce_ms", (one.all_reduce_s for one in timings[0])),
        rows_per_s=rows * len(result["epochs"]) * passes / slowest,
        loss=result["loss"],
        accuracy=result["accuracy"],
        validation=result["validation"],
        epochs=result["epochs"],
        workers=[_worker_summary(worker, blamed_s.get(worker["rank"], 0.0)) for worker in workers],
        exchange=result["exchange"],
        model=result["model"],
        # Lambda costs the same in all regions but a few.
        cost_usd=sum(invocation_cost_usd(report, prices) for report in reports),
        events=merged_links(progress.events),
        warnings=result.get("warnings", []),
        best_epoch=result.get("best_epoch"),
        test=result.get("test"),
        classes=result.get("classes"),
        straggler=straggler,
    )


def _blamed(timings: Mapping[int, Sequence[Timings]]) -> tuple[Straggler | None, dict[int, float]]:
    """Return the straggler, and for how long the rounds waited for each rank."""
    rounds = {rank: [entries_of_timings(one, 0.0) for one in attempts] for rank, attempts in timings.items()}
    waits = side_by_side(rounds)
    if waits is None:
        return None, {}
    found = blame(waits)
    return straggler_of(waits, found), dict(zip(waits.ranks.tolist(), found.of_row.tolist(), strict=True))


def _percentiles(worker: dict[str, Any], key: str, of_links: Iterable[Floats]) -> dict[str, float]:
    """Return a worker's own percentiles; those of a chain are of all its links."""
    seconds = np.concatenate([*of_links, np.zeros(0)])
    known = seconds[seconds > 0]
    figures: dict[str, float] = percentiles_ms(1e3 * known) if worker["link"] > 1 and len(known) else worker[key]
    return figures


def _read_workers(folder: RunRecords, progress: Progress) -> list[dict[str, Any]]:
    """Return the record of each rank's last attempt, in the order of ranks, with the times of its earlier links."""
    n_ranks = len(progress.ranks)
    last_attempts: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        records = list(pool.map(folder.read_json, record_names(folder, "workers/", n_ranks)))
    for record in records:
        if record["attempt"] >= last_attempts.get(record["rank"], record)["attempt"]:
            last_attempts[record["rank"]] = record
    workers = [last_attempts[rank] for rank in sorted(last_attempts)]
    earlier = [folder.read_json(name) for name in record_names(folder, "links/", n_ranks)]
    for worker in workers:
        for link in earlier:
            if link["rank"] == worker["rank"]:
                _add_link(worker, link)
        # An attempt that was killed left no record, but a line in the log.
        worker["started_at"] = min(worker["started_at"], progress.ranks[worker["rank"]].started_at or math.inf)
        # The lease counts attempts, unless the cache lost it; the platform counts deaths.
        worker["attempts"] = max(worker["attempt"] - worker["link"] + 1, 1 + progress.ranks[worker["rank"]].failures)
    return workers


def _add_link(worker: dict[str, Any], link: dict[str, Any]) -> None:
    """Add the times of an earlier link to a worker's record."""
    worker["started_at"] = min(worker["started_at"], link["started_at"])
    worker["max_rss_mb"] = max(worker["max_rss_mb"], link.get("max_rss_mb", 0.0))
    for key in ("seconds", "cpu_seconds", "compute_s", "wait_s"):
        worker[key] = worker.get(key, 0.0) + link.get(key, 0.0)
    for key in ("phases", "cold_start"):
        added = Counter(worker[key] or {})
        added.update(link.get(key) or {})
        worker[key] = dict(added) or None


def _worker_summary(worker: dict[str, Any], blamed_s: float) -> WorkerSummary:
    return WorkerSummary(
        rank=worker["rank"],
        attempts=worker["attempts"],
        links=worker["link"],
        rows=worker["rows"],
        seconds=worker["seconds"],
        max_rss_mb=worker["max_rss_mb"],
        cpu_seconds=worker["cpu_seconds"],
        phases=worker["phases"],
        cold_start=worker["cold_start"],
        compute_s=worker.get("compute_s", 0.0),
        wait_s=worker.get("wait_s", 0.0),
        blamed_s=blamed_s,
        zone=worker.get("zone", ""),
    )
