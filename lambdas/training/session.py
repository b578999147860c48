"""A training session: one worker's part in a run, from joining it to stored results.

    join      take the rank's lease, connect to the cache, load the rows
    prepare   agree with all ranks on labels and scaling
    train     the job's algorithm on the job's model
    store     rank 0 stores model and result, every rank its own record
    finish    stay until no other rank needs this one

A rank that continues from another rank's state begins again at `prepare`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

from training.algorithm import registry
from training.algorithm.epochs import Outcome
from training.algorithm.labels import Labelling
from training.algorithm.standardisation import Standardiser
from training.data.shard import Shard
from training.exchange.channel.base import Channel
from training.exchange.collectives.cost_model import USUAL
from training.exchange.exchange import Exchange
from training.exchange.frame import Encoding
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.lease import Lease
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rejoin import through_faults
from training.job import WorkerJob
from training.run.checkpoint import RunCheckpoints
from training.run.cold_start import ColdStart
from training.run.joining import is_over, join
from training.run.model_file import TrainedModel, encode_model
from training.run.results import RunFolder
from training.run.telemetry import Telemetry, max_rss_mb, percentiles_ms
from training.run.time_limit import TimeLimit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class TrainingSession:
    """One rank's session, without the connection that carries it.

    It holds the only reference to the rows, so that scaling them does not keep two copies in memory.

    Args:
        job: This worker's job.
        shard: Its rows; the caller lets go of them.
        exchange: Its exchange.
        folder: The run's folder.
        telemetry: Collects timings.
        cold_start: The time before the first invocation.
        check: Raises `DuplicateDelivery` when another delivery of the event has taken over.
    """

    def __init__(
        self,
        job: WorkerJob,
        shard: Shard,
        exchange: Exchange,
        folder: RunFolder,
        telemetry: Telemetry,
        cold_start: ColdStart,
        check: Callable[[], None],
    ) -> None:
        self._job, self._shard, self._exchange = job, shard, exchange
        self._folder, self._telemetry, self._cold_start, self._check = folder, telemetry, cold_start, check
        self._labelling = Labelling(job, shard)
        self._standardiser = Standardiser(shard) if job.standardise else None

    def run(self) -> None:
        """Train, store the results, and stay while another rank may need this one.

        Raises:
            TrainingError: The job, its data, a peer or the channel failed.
            Rejoin: This rank continues from another rank's state: call `run` again.
            Stopped: All ranks stop after this round, because one is low on time.
        """
        with self._telemetry.phase("train"):
            self._shard = self._labelling.numbered(self._shard, self._exchange)
            if self._standardiser is not None:
                self._shard = self._standardiser.scaled(self._shard, self._exchange)
            n_classes = len(self._labelling.labels)
            outcome = registry.train(self._job, n_classes, self._shard, self._exchange, self._telemetry)
        self._check()
        with self._telemetry.phase("store"):
            self._store(outcome)
        self._exchange.finish(outcome.rounds, outcome.state)

    def _store(self, outcome: Outcome) -> None:
        """Store this rank's share of the results; its own record comes last, so it implies the others."""
        name = f"{self._job.rank}.{self._telemetry.attempt}.json"
        all_reduce_s = self._exchange.seconds or [0.0]  # a rank alone exchanges nothing
        round_s = self._telemetry.round_s or [0.0]  # a rank that rejoined after the last round did none
        cold_start = self._cold_start.report_once()
        details = {
            "round_ms": [1e3 * seconds for seconds in round_s],
            "all_reduce_ms": [1e3 * seconds for seconds in all_reduce_s],
            "cold_start": cold_start,
        }
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(self._folder.write_json, f"telemetry/{name}", details)
            if self._job.rank == 0:
                self._store_result(outcome)
            writing.result()
        record = {
            "rank": self._job.rank,
            "attempt": self._telemetry.attempt,
            "link": self._job.link,
            "rows": len(self._shard.y),
            "valid_rows": len(self._shard.valid_y),
            "started_at": self._telemetry.started_at,
            "seconds": self._telemetry.seconds,
            "cpu_seconds": self._telemetry.cpu_seconds,
            "phases": self._telemetry.phases,
            "cold_start": cold_start,
            "round_ms": percentiles_ms(round_s),
            "all_reduce_ms": percentiles_ms(all_reduce_s),
            "max_rss_mb": max_rss_mb(),
        }
        self._folder.write_json(f"workers/{name}", record)

    def _store_result(self, outcome: Outcome) -> None:
        """Store the model, then the result, so that a reader who finds the result finds its model too."""
        scaling = self._standardiser.scaling if self._standardiser else None
        trained = TrainedModel.of_job(self._job, outcome.parameters, scaling, self._labelling.labels)
        sha256 = self._folder.write("model.npz", encode_model(trained))
        last = outcome.epochs[-1]
        result: dict[str, Any] = {
            "run_id": self._folder.run_id,
            "rounds": outcome.rounds,
            "loss": last.loss,
            "accuracy": last.accuracy,
            "validation": last.validation,
            "epochs": outcome.epochs,
            "warnings": outcome.warnings,
            "exchange": self._exchange.report() | outcome.details,
            "model": {"location": self._folder.location("model.npz"), "sha256": sha256},
        }
        self._folder.write_json("result.json", result)


def run_session(
    job: WorkerJob,
    s3: "S3Client",
    lease: Lease,
    folder: RunFolder,
    telemetry: Telemetry,
    cold_start: ColdStart,
    limit: TimeLimit,
) -> None:
    """Join the run, train, and store this rank's results.

    Raises:
        DuplicateDelivery: Another delivery of the event works for this rank, or the run is over.
        Stopped: All ranks stopped after the same round, because one is low on time.
        TrainingError: The job, its data, a peer or the channel failed.
    """
    shard, names, channel = join(s3, job, lease, folder, telemetry)
    with closing(channel):
        telemetry.line("started", link=job.link)
        checkpoints = RunCheckpoints(folder, job, telemetry.line, names)
        exchange = _exchange_of(job, channel, lease, folder, telemetry, checkpoints, limit)
        session = TrainingSession(job, shard, exchange, folder, telemetry, cold_start, lease.check)
        del shard  # the session replaces the rows by scaled ones
        through_faults(exchange.start, session.run)


def _exchange_of(
    job: WorkerJob,
    channel: Channel,
    lease: Lease,
    folder: RunFolder,
    telemetry: Telemetry,
    checkpoints: RunCheckpoints,
    limit: TimeLimit,
) -> Exchange:
    mailbox = Mailbox(
        channel,
        run_id=job.run_id,
        rank=job.rank,
        world_size=job.n_workers,
        attempt=lease.attempt,
        part_prefix=job.tmp_bucket,
        merged_prefix=job.merged_bucket,
    )
    recovery = Recovery(
        mailbox,
        token=lease.token,
        check=lease.check,
        note=telemetry.line,
        is_done=lambda: is_over(job, folder),
    )
    return Exchange(
        mailbox,
        job.sync_mode,
        join_timeout_s=job.join_timeout_s,
        round_timeout_s=job.round_timeout_s,
        update_encoding=_update_encoding(job),
        max_staleness=job.max_staleness,
        checkpoints=checkpoints,
        signals=lambda: limit.signals(checkpoints.saved_at),
        link=job.cache_link or USUAL,
        recovery=recovery,
    )


def _update_encoding(job: WorkerJob) -> Encoding:
    if job.significance > 0:
        return Encoding.SPARSE
    return Encoding.FLOAT16 if job.exchange_dtype == "float16" else Encoding.FLOAT32
