"""The summary of a finished run: what `harness run --json` prints."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from harness.runs.cost import LambdaPrices, invocation_cost_usd
from harness.runs.progress import InvocationReport, Progress
from harness.runs.records import record_names
from training.run.invoking import CONNECTIONS
from training.run.results import RunFolder


class Seconds(msgspec.Struct, frozen=True):
    """Where a run's wall time went.

    Attributes:
        total: From the invocation of the coordinator to the last result.
        start: From the invocation of the coordinator until the last worker's handler began.
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
        attempts: Tries of its event, over all links; 1 when nothing went wrong.
        links: Functions one after the other, each of which handed on when it ran low on time.
        rows: Its training rows.
        seconds: Of all its links together, the tries that failed left out.
        max_rss_mb: The largest resident size of the last one.
        cpu_seconds: Processor time of its last invocation's handler.
        phases: Seconds of its last invocation by phase: `load` (rows from S3; goes on beside `join`), `join` (the lease
            and the connection), `train` (rounds, evaluations and waits for peers), `store` (results, up to its record).
        cold_start: Seconds by phase before its handler ran for the first time: `interpreter`, `imports`, `s3_client`;
            null in a warm environment.
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


class Summary(msgspec.Struct, frozen=True):
    """A finished run.

    Attributes:
        run_id: Its name.
        status: `succeeded`; a failed run ends in an error instead.
        mode: How the stack ran.
        images: The digest of the image that each function ran from; none in process mode.
        job: The job as the coordinator received it.
        defaults: The keys of it that follow from the data; the user did not set them.
        seconds: Where the time went.
        rounds: Training rounds.
        round_ms: Time of one round on rank 0, compute and exchange: p50 and p99, ms.
        all_reduce_ms: Time of one all-reduce on rank 0: p50 and p99, ms.
        rows_per_s: Training rows x epochs / the longest worker handler's seconds.
        loss: What is minimised, at the end: the mean training loss and the penalty.
        accuracy: Training accuracy at the end; null for a clustering.
        validation: The same on the validation rows; null when there are none.
        epochs: The same after every epoch.
        workers: One entry per rank.
        exchange: How updates travelled: mode, collectives, encoding and its relative error.
        model: Where the trained model lies, and its SHA-256.
        cost_usd: What the invocations would cost on AWS Lambda.
        events: What went wrong on the way, and what workers did about it.
        warnings: Signs that the model has learnt little: `code` and `message`, which says what to change.
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
    validation: dict[str, float | None] | None
    epochs: list[dict[str, Any]]
    workers: list[WorkerSummary]
    exchange: dict[str, Any]
    model: dict[str, str]
    cost_usd: float
    events: list[dict[str, Any]]
    warnings: list[dict[str, str]]


def summarise(  # noqa: PLR0913 - keywords only, each a part of the summary
    folder: RunFolder,
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
    """Reads what a run's ranks stored.

    Args:
        folder: The run's folder, complete.
        mode: How the stack ran.
        images: The digest of each function's image.
        job: The job as the coordinator received it.
        defaults: The keys of it that follow from the data.
        reports: REPORT lines of all its invocations.
        progress: What was seen of the run on the way.
        invoked_at: When the coordinator was invoked, seconds since the epoch.
        seconds: From then to the last result.
    """
    result = folder.read_json("result.json")
    last_attempts: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        records = list(pool.map(folder.read_json, record_names(folder, "workers/", len(progress.ranks))))
    for record in records:
        if record["attempt"] >= last_attempts.get(record["rank"], record)["attempt"]:
            last_attempts[record["rank"]] = record
    workers = [last_attempts[rank] for rank in sorted(last_attempts)]
    earlier = [folder.read_json(name) for name in record_names(folder, "links/", len(progress.ranks))]
    for worker in workers:
        links = [link for link in earlier if link["rank"] == worker["rank"]]
        worker["seconds"] += sum(link["seconds"] for link in links)
        worker["started_at"] = min([worker["started_at"], *(link["started_at"] for link in links)])
        # The lease counts tries, unless the cache lost it; the platform counts deaths.
        worker["attempts"] = max(worker["attempt"] - worker["link"] + 1, 1 + progress.ranks[worker["rank"]].failures)
    slowest = max(worker["seconds"] for worker in workers)
    rows = sum(worker["rows"] for worker in workers)
    # One of admm's epochs is a round of several passes; of k-means' starts only the best one's are there.
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
        round_ms=workers[0]["round_ms"],
        all_reduce_ms=workers[0]["all_reduce_ms"],
        rows_per_s=rows * len(result["epochs"]) * passes / slowest,
        loss=result["loss"],
        accuracy=result["accuracy"],
        validation=result["validation"],
        epochs=result["epochs"],
        workers=[
            WorkerSummary(
                w["rank"],
                w["attempts"],
                w["link"],
                w["rows"],
                w["seconds"],
                w["max_rss_mb"],
                cpu_seconds=w["cpu_seconds"],
                phases=w["phases"],
                cold_start=w["cold_start"],
            )
            for w in workers
        ],
        exchange=result["exchange"],
        model=result["model"],
        cost_usd=sum(invocation_cost_usd(report, LambdaPrices()) for report in reports),
        events=progress.events,
        warnings=result.get("warnings", []),
    )
