"""The worker: trains one partition together with its peers.

The event is `training.job.WorkerJob`; `file` names this rank's partition.

What may happen to it, and what it does:

    the event comes twice            the lease of the rank decides; the other one leaves quietly
    it dies, and Lambda tries again  it takes the lease over, then goes on from a peer's state or a checkpoint
    it runs low on time              all ranks stop after the same round, and each invokes itself again
    trying again cannot help         it tells all ranks, which stop at once with its cause
"""

import importlib
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Any

from training.run.cold_start import ColdStart

_cold_start = ColdStart()

# A function has one virtual CPU per 1,769 MB; more BLAS threads than that only fight for it.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_CPUS = max(1, int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")) // 1769)
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(_CPUS))

# NumPy reads the variable above when it is imported.
import msgspec  # noqa: E402
import numpy as np  # noqa: E402

from training.algorithm.epochs import Outcome  # noqa: E402
from training.algorithm.labels import Labelling  # noqa: E402
from training.algorithm.standardisation import Standardiser  # noqa: E402
from training.data import dataset  # noqa: E402
from training.data.shard import Shard  # noqa: E402
from training.errors import (  # noqa: E402
    ChannelError,
    ChannelSilent,
    DuplicateDelivery,
    ExchangeError,
    InputError,
    RunAborted,
    TrainingError,
    ValueTooLarge,
)
from training.exchange.channel.memcached import MemcachedChannel  # noqa: E402
from training.exchange.collectives.cost_model import USUAL  # noqa: E402
from training.exchange.exchange import Exchange, Stopped  # noqa: E402
from training.exchange.frame import Encoding  # noqa: E402
from training.exchange.keys import key_of  # noqa: E402
from training.exchange.mailbox import Mailbox  # noqa: E402
from training.exchange.recovery.lease import Lease  # noqa: E402
from training.exchange.recovery.recovery import Recovery, through_faults  # noqa: E402
from training.exchange.run_signals import abort_run  # noqa: E402
from training.job import WorkerJob, decode_worker_job  # noqa: E402
from training.model.catalogue import make_model  # noqa: E402
from training.run.checkpoint import RunCheckpoints  # noqa: E402
from training.run.invoking import InvokeError, invoke_event  # noqa: E402
from training.run.model_file import TrainedModel, encode_model  # noqa: E402
from training.run.results import Aborted, RunFolder, StorageError, get_large_object, s3_client  # noqa: E402
from training.run.telemetry import Telemetry, max_rss_mb, percentiles_ms  # noqa: E402
from training.run.time_limit import TimeLimit  # noqa: E402

# How long a starting worker retries a cache that it cannot reach; Lambda tries the event again later.
# One that accepts connections and does not answer is at the right address: it is retried until the join deadline.
CONNECT_WITHIN_S = 5.0
RECONNECT_DELAY_S = 0.1
# Lambda tries an event at most twice more: after that nobody comes back, and the others should not wait.
MOST_TRIES = 3
# Their modules in `training.algorithm`; only the one that a job asks for is imported.
# The record of a rank that has finished, by rank and attempt.
_WORKER_RECORD = re.compile(r"workers/(\d+)\.\d+\.json")

_ALGORITHMS = {
    "grad_avg": "gradient_averaging",
    "model_avg": "model_averaging",
    "admm": "admm",
    "em": "expectation_maximisation",
}

# Half of the memory is left for what training makes of the rows.
_MOST_PARTITION_BYTES = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")) * 1024 * 1024 // 2

_cold_start.done("imports")
_s3 = s3_client()
_cold_start.done("s3_client")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - AWS's context has no type
    """Joins the run, trains, and stores this rank's results.

    Raises:
        TrainingError: The job, its data, a peer or the channel failed; the cause is stored under `failed/` first,
            and told to all ranks unless Lambda's next try may help.
    """
    job = decode_worker_job(event, context.aws_request_id)
    telemetry = Telemetry(job.run_id, job.rank, 0, context.aws_request_id)
    folder = RunFolder(_s3, job.results, job.run_id)
    lease = Lease(lambda: _connect(job), key_of(job.run_id, f"lease/{job.rank}", job.tmp_bucket), job.link)
    limit = TimeLimit(context, job, telemetry)
    try:
        _run(job, lease, folder, telemetry, limit)
    except DuplicateDelivery as reason:
        lease.leave()
        telemetry.line("superfluous", cause=str(reason))
        return _answer(job, duplicate=True)
    except Stopped as stop:
        lease.leave()
        _hand_on(job, stop.round_number, folder, telemetry)
        return _answer(job, next_link=job.link + 1)
    except Exception as error:
        lease.leave()
        _tell_failure(job, error, lease.tries, folder, telemetry)
        raise
    lease.leave(done=True)
    telemetry.line("finished", seconds=telemetry.seconds)
    return _answer(job)


def _run(job: WorkerJob, lease: Lease, folder: RunFolder, telemetry: Telemetry, limit: TimeLimit) -> None:
    with ExitStack() as held:
        shard, names, channel = _gather(job, lease, folder, telemetry, held)
        telemetry.line("started", link=job.link)
        mailbox = Mailbox(
            channel,
            run_id=job.run_id,
            rank=job.rank,
            world_size=job.n_workers,
            attempt=lease.attempt,
            part_prefix=job.tmp_bucket,
            merged_prefix=job.merged_bucket,
        )
        Recovery(
            mailbox,
            token=lease.token,
            check=lease.check,
            note=telemetry.line,
            is_over=lambda: _is_over_by_now(job, folder),
        )
        checkpoints = RunCheckpoints(folder, job, telemetry.line, names)
        exchange = Exchange(
            mailbox,
            job.sync_mode,
            join_timeout_s=job.join_timeout_s,
            round_timeout_s=job.round_timeout_s,
            update_encoding=_update_encoding(job),
            max_staleness=job.max_staleness,
            checkpoints=checkpoints,
            signals=lambda: limit.signals(checkpoints.saved_at),
            link=job.cache_link or USUAL,
        )
        course = _Course(job, shard, exchange, folder, telemetry, lease.check)
        del shard
        through_faults(exchange.start, course.run)


class _Course:
    """From joining to stored results; begun again when this rank goes on from another's state.

    It alone holds the rows, so that they are in memory once.
    """

    def __init__(
        self,
        job: WorkerJob,
        shard: Shard,
        exchange: Exchange,
        folder: RunFolder,
        telemetry: Telemetry,
        check: Callable[[], None],
    ) -> None:
        self._job, self._shard, self._exchange = job, shard, exchange
        self._folder, self._telemetry, self._check = folder, telemetry, check
        self._labelling = Labelling(job, shard)
        self._standardiser = Standardiser(shard) if job.standardise else None

    def run(self) -> None:
        """Train, store the results, and stay while another rank may need this one."""
        with self._telemetry.phase("train"):
            self._shard = self._labelling.numbered(self._shard, self._exchange)
            if self._standardiser is not None:
                self._shard = self._standardiser.scaled(self._shard, self._exchange)
            outcome = _train(self._job, len(self._labelling.labels), self._shard, self._exchange, self._telemetry)
        self._check()
        with self._telemetry.phase("store"):
            scaling = self._standardiser.scaling if self._standardiser else None
            trained = TrainedModel.of_job(self._job, outcome.parameters, scaling, self._labelling.labels)
            _store(self._job, outcome, trained, self._exchange, self._shard, self._folder, self._telemetry)
        self._exchange.finish(outcome.rounds, outcome.state)


def _gather(
    job: WorkerJob, lease: Lease, folder: RunFolder, telemetry: Telemetry, held: ExitStack
) -> tuple[Shard, list[str], MemcachedChannel]:
    """The rows, the names in the run's folder and a connection, which all come while the lease is taken.

    The lease of a dead try has to be watched for a moment.
    Nothing goes on loading once this is over, whichever way: Lambda would go on with it in the next invocation.

    Raises:
        DuplicateDelivery: Another delivery of the event goes on, or all ranks have stored their results.
        TrainingError: The run was given up, or rows, S3 or the cache are not as they should be.
    """
    with ThreadPoolExecutor(2) as pool:
        loading, listing = pool.submit(_load, job, telemetry), pool.submit(folder.names, "")
        with telemetry.phase("join"):
            _take(lease, job, telemetry)
            lease.keep()
            channel = held.enter_context(closing(_connect_patiently(job)))
        names = listing.result()
        # This rank's own results are not enough: another rank may still need it.
        if _is_over(job, folder, names):
            raise DuplicateDelivery("all ranks have stored their results")
        return loading.result(), names, channel


def _take(lease: Lease, job: WorkerJob, telemetry: Telemetry) -> None:
    """Takes the lease of the rank.

    Raises:
        DuplicateDelivery: Another delivery of the event has it, or is done.
        ChannelError: The cache is not reachable.
    """
    try:
        taken = lease.acquire(
            CONNECT_WITHIN_S, job.join_timeout_s, lambda cause: telemetry.line("waiting", waits_for=cause)
        )
    finally:
        telemetry.attempt = lease.attempt
    if not taken:
        raise DuplicateDelivery(f"another delivery of the event of rank {job.rank} goes on")


def _is_over(job: WorkerJob, folder: RunFolder, names: list[str]) -> bool:
    """Whether all ranks have stored their results.

    Raises:
        RunAborted: Somebody has given the run up.
        StorageError: S3 fails.
    """
    if "aborted.json" in names and (aborted := folder.read_as("aborted.json", Aborted)):
        raise RunAborted(aborted.cause)
    stored = {int(found[1]) for found in map(_WORKER_RECORD.fullmatch, names) if found}
    return stored >= set(range(job.n_workers))


def _is_over_by_now(job: WorkerJob, folder: RunFolder) -> bool:
    """As `_is_over`, for a rank that waits: it asks again later when S3 fails."""
    try:
        return _is_over(job, folder, folder.names(""))
    except StorageError:
        return False


def _load(job: WorkerJob, telemetry: Telemetry) -> Shard:
    """Read this rank's rows; their `y` are labels where the job does not say which ones there are.

    Raises:
        InputError: The object is not the partition, or no partition of such a job.
    """
    source = _source(job)
    with telemetry.phase("load"):
        body, etag = get_large_object(_s3, job.data_bucket, job.file, most_bytes=_MOST_PARTITION_BYTES)
        if job.expected is not None:
            job.expected.check(body, etag, source)
        rows = dataset.decode_partition(
            body,
            source=source,
            n_features=job.n_features,
            data_type=job.data_type,
            # Text of the partitioner has indices from 1, whatever its source has.
            zero_based=job.zero_based == "yes" and job.expected is None,
        )
        y: Any = rows.y
        if job.optim == "em":
            y = np.zeros(len(y), np.int64)  # a clustering does not look at labels
        elif job.labels is not None:
            y = dataset.to_classes(rows.y, job.labels, source)
        n_train = len(y) - int(job.valid_ratio * len(y))
        return Shard(rows.x[:n_train], y[:n_train], rows.x[n_train:], y[n_train:])


def _source(job: WorkerJob) -> str:
    return f"s3://{job.data_bucket}/{job.file}"


def _connect(job: WorkerJob) -> MemcachedChannel:
    return MemcachedChannel(job.host, job.port)


def _connect_patiently(job: WorkerJob) -> MemcachedChannel:
    """Connect to the cache, which answered a moment ago.

    Raises:
        ChannelError: It cannot be reached for `CONNECT_WITHIN_S`, or does not answer until the join deadline.
    """
    started = time.monotonic()
    while True:
        try:
            return _connect(job)
        except ChannelError as error:
            limit_s = job.join_timeout_s if isinstance(error, ChannelSilent) else CONNECT_WITHIN_S
            if time.monotonic() - started >= limit_s:
                raise
            time.sleep(RECONNECT_DELAY_S)


def _train(job: WorkerJob, n_classes: int, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    train: Callable[..., Outcome] = importlib.import_module(f"training.algorithm.{_ALGORITHMS[job.optim]}").train
    if job.optim == "em":
        return train(job, shard, exchange, telemetry)
    model = make_model(job.model, n_features=job.n_features, n_classes=n_classes, hidden_units=job.hidden_units)
    return train(job, model, shard, exchange, telemetry)


def _update_encoding(job: WorkerJob) -> Encoding:
    if job.significance > 0:
        return Encoding.SPARSE
    return Encoding.FLOAT16 if job.exchange_dtype == "float16" else Encoding.FLOAT32


def _store(
    job: WorkerJob,
    outcome: Outcome,
    trained: TrainedModel,
    exchange: Exchange,
    shard: Shard,
    folder: RunFolder,
    telemetry: Telemetry,
) -> None:
    """Stores this rank's share of the results; its own record comes last, and says that the others are there."""
    name = f"{job.rank}.{telemetry.attempt}.json"
    all_reduce_s = exchange.seconds or [0.0]  # a rank alone exchanges nothing
    round_s = telemetry.round_s or [0.0]  # who came back after the last round did none
    timings = {"round_ms": round_s, "all_reduce_ms": all_reduce_s}
    cold_start = _cold_start.tell()
    with ThreadPoolExecutor(1) as pool:
        details = {key: [1e3 * s for s in seconds] for key, seconds in timings.items()} | {"cold_start": cold_start}
        writing = pool.submit(folder.write_json, f"telemetry/{name}", details)
        if job.rank == 0:
            # Whoever finds the result finds its model, too.
            sha256 = folder.write("model.npz", encode_model(trained))
            folder.write_json("result.json", _result_of(outcome, exchange, folder, sha256))
        writing.result()
    folder.write_json(
        f"workers/{name}",
        {
            "rank": job.rank,
            "attempt": telemetry.attempt,
            "link": job.link,
            "rows": len(shard.y),
            "valid_rows": len(shard.valid_y),
            "started_at": telemetry.started_at,
            "seconds": telemetry.seconds,
            "cpu_seconds": telemetry.cpu_seconds,
            "phases": telemetry.phases,
            "cold_start": cold_start,
            "round_ms": percentiles_ms(round_s),
            "all_reduce_ms": percentiles_ms(all_reduce_s),
            "max_rss_mb": max_rss_mb(),
        },
    )


def _result_of(outcome: Outcome, exchange: Exchange, folder: RunFolder, sha256: str) -> dict[str, Any]:
    last = outcome.epochs[-1]
    return {
        "run_id": folder.run_id,
        "rounds": outcome.rounds,
        "loss": last.loss,
        "accuracy": last.accuracy,
        "validation": last.validation,
        "epochs": outcome.epochs,
        "warnings": outcome.warnings,
        "exchange": exchange.report() | outcome.details,
        "model": {"location": folder.location("model.npz"), "sha256": sha256},
    }


def _hand_on(job: WorkerJob, round_number: int, folder: RunFolder, telemetry: Telemetry) -> None:
    """Invokes the next link, once the checkpoint that it goes on from is named.

    Without one it goes on from an earlier checkpoint, or from a rank that still trains.
    """
    RunCheckpoints(folder, job, telemetry.line).wait_for(round_number)
    event = {**msgspec.to_builtins(job), "link": job.link + 1}
    request_id = invoke_event(os.environ["AWS_LAMBDA_FUNCTION_NAME"], event)
    telemetry.line("handed_on", round=round_number, link=job.link + 1, next_request_id=request_id)
    record = {
        "rank": job.rank,
        "attempt": telemetry.attempt,
        "link": job.link,
        "round": round_number,
        "started_at": telemetry.started_at,
        "seconds": telemetry.seconds,
        "next_request_id": request_id,
    }
    folder.write_json(f"links/{job.rank}.{telemetry.attempt}.json", record)


def _tell_failure(job: WorkerJob, error: Exception, tries: int, folder: RunFolder, telemetry: Telemetry) -> None:
    """Writes the cause down, and ends the run for all ranks unless another try may help."""
    kind, cause = type(error).__name__, str(error) or type(error).__name__
    final = not _may_pass(error) or tries >= MOST_TRIES
    telemetry.line("failed", kind=kind, cause=cause, final=final)
    if final and not isinstance(error, RunAborted):
        # The cause itself is about to be raised; without the channel the peers fall back to their deadlines.
        with suppress(ChannelError), closing(_connect(job)) as channel:
            abort_run(channel, job.run_id, f"rank {job.rank}: {cause}", job.tmp_bucket)
    record = {"rank": job.rank, "kind": kind, "cause": cause, "final": final, "time": time.time()}
    with suppress(StorageError, InputError):
        folder.write_json(f"failed/{job.rank}.{telemetry.attempt}.json", record)


def _may_pass(error: Exception) -> bool:
    """Whether another try of this rank may succeed where this one failed: its surroundings failed, not its job.

    The rows, the job, a peer's deadline and our own mistakes are the same next time.
    """
    if isinstance(error, (ChannelError, StorageError, InvokeError)):
        return not isinstance(error, ValueTooLarge)
    return isinstance(error, (OSError, MemoryError)) and not isinstance(error, (TrainingError, ExchangeError))


def _answer(job: WorkerJob, **more: object) -> dict[str, Any]:
    return {"statusCode": 200, "body": {"run_id": job.run_id, "rank": job.rank, **more}}
