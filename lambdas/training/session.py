"""A training session: one worker's part in a run, from joining it to stored results.

    join      take the rank's lease, connect to the cache, load the rows
    prepare   agree with all ranks on labels and scaling
    train     the job's algorithm on the job's model
    store     rank 0 stores model and result, every rank its own record
    finish    stay until no other rank needs this one

A rank that continues from another rank's state begins again at `prepare`.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from training.algorithm import registry
from training.algorithm.epochs import Outcome
from training.algorithm.labels import Labelling
from training.algorithm.standardisation import Standardiser
from training.algorithm.targets import TargetScaler
from training.data.schema import Schema
from training.data.shard import Shard
from training.exchange.channel.base import Channel
from training.exchange.collectives.cost_model import USUAL
from training.exchange.counting import CountingChannel
from training.exchange.exchange import Exchange
from training.exchange.frame import Encoding
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.lease import Lease
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rejoin import through_faults
from training.job import WorkerJob
from training.metrics.counts import MOST_CONFUSION_CLASSES
from training.model.source import check_source
from training.run.checkpoint import RunCheckpoints
from training.run.joining import is_over, join
from training.run.model_file import TrainedModel, encode_model
from training.run.partition import load_schema
from training.run.results import RunFolder
from training.run.reviving import PeerReviver
from training.run.telemetry import Telemetry, percentiles_ms
from training.run.time_limit import TimeLimit
from training.run.warm_start import Start, check_labels, check_schema, load_start
from training.run.zone import own_zone

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
        check: Raises `DuplicateDelivery` when another delivery of the event has taken over.
        start: The model that training starts from; None for none.
        schema: The schema of the data, which rank 0 stores in the model; None for none.
    """

    def __init__(
        self,
        job: WorkerJob,
        shard: Shard,
        exchange: Exchange,
        folder: RunFolder,
        telemetry: Telemetry,
        check: Callable[[], None],
        start: Start | None = None,
        *,
        schema: Schema | None = None,
    ) -> None:
        self._job, self._shard, self._exchange = job, shard, exchange
        self._folder, self._telemetry, self._check = folder, telemetry, check
        self._labelling = Labelling(job, shard)
        self._start, self._schema = start, schema
        self._targets = TargetScaler(job, shard, start.model.target if start else None)
        self._standardiser = Standardiser(shard, start.model.scaling if start else None) if job.standardise else None

    def run(self) -> None:
        """Train, store the results, and stay while another rank may need this one.

        Raises:
            TrainingError: The job, its data, a peer or the channel failed.
            Rejoin: This rank continues from another rank's state: call `run` again.
            Stopped: All ranks stop after this round, because one is low on time.
        """
        start = self._start
        with self._telemetry.phase("train"):
            if start is not None:
                start.agree(self._exchange)
            self._shard = self._labelling.numbered(self._shard, self._exchange)
            self._shard = self._targets.scaled(self._shard, self._exchange)
            if self._standardiser is not None:
                self._shard = self._standardiser.scaled(self._shard, self._exchange)
            if start is not None and self._job.task == "classification":
                check_labels(start, self._labelling.labels)
            n_classes, initial = len(self._labelling.labels) or 1, start.model.parameters if start else None
            outcome = registry.train(self._job, n_classes, self._shard, self._exchange, self._telemetry, initial)
        self._check()
        self._store(outcome)
        with self._telemetry.interval("stay"):
            self._exchange.finish(outcome.rounds, outcome.state)

    def _store(self, outcome: Outcome) -> None:
        """Store this rank's share of the results; its own record comes last, so it implies the others."""
        telemetry, started = self._telemetry, time.perf_counter()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(telemetry.store, self._folder)
            if self._job.rank == 0:
                self._store_result(outcome)
            writing.result()
        telemetry.phases["store"] = time.perf_counter() - started
        # A rank alone exchanges nothing, and one that rejoined after the last round did none.
        all_reduce_ms = 1e3 * np.asarray(self._exchange.seconds or [0.0])
        record = {
            "link": self._job.link,
            "rows": len(self._shard.y),
            "valid_rows": len(self._shard.valid_y),
            "round_ms": percentiles_ms(telemetry.rounds.round_ms() or [0.0]),
            "all_reduce_ms": percentiles_ms(all_reduce_ms),
            **telemetry.totals(),
        }
        self._folder.write_json(f"workers/{self._job.rank}.{telemetry.attempt}.json", record)

    def _store_result(self, outcome: Outcome) -> None:
        """Store the model, then the result, so that a reader who finds the result finds its model too."""
        scaling = self._standardiser.scaling if self._standardiser else None
        labels, target = self._labelling.labels, self._targets.scaling
        trained = TrainedModel.of_job(self._job, outcome.parameters, scaling, labels, self._schema, target)
        sha256 = self._folder.write("model.npz", encode_model(trained))
        classes = trained.answers if self._job.task == "classification" else []
        report, best = outcome.report, outcome.state.best_epoch
        result: dict[str, Any] = {
            "run_id": self._folder.run_id,
            "rounds": outcome.rounds,
            "loss": report.loss,
            "accuracy": report.accuracy,
            "validation": _validation(outcome),
            "test": outcome.state.measured.get("test"),
            "classes": classes if len(classes) <= MOST_CONFUSION_CLASSES else None,
            "epochs": outcome.epochs,
            "best_epoch": best.epoch if best else None,
            "warnings": outcome.warnings,
            "exchange": self._exchange.report() | outcome.details,
            "model": {"location": self._folder.location("model.npz"), "sha256": sha256},
        }
        self._folder.write_json("result.json", result)


def _validation(outcome: Outcome) -> dict[str, Any] | None:
    """Return the last figures of the validation rows with all metrics; None when there are no such rows."""
    score = outcome.report.validation
    if score is None:
        return None
    return {**outcome.state.measured.get("validation", {}), "loss": score.loss, "accuracy": score.accuracy}


def run_session(
    job: WorkerJob,
    s3: "S3Client",
    lease: Lease,
    folder: RunFolder,
    telemetry: Telemetry,
    limit: TimeLimit,
) -> None:
    """Join the run, train, and store this rank's results.

    Raises:
        DuplicateDelivery: Another delivery of the event works for this rank, or the run is over.
        Stopped: All ranks stopped after the same round, because one is low on time.
        TrainingError: The job, its data, a peer or the channel failed.
    """
    if job.model_sha256 is not None:
        check_source(job.model, job.model_sha256)
    shard, names, channel = join(s3, job, lease, folder, telemetry)
    with closing(channel):
        start, schema = load_start(s3, job), load_schema(s3, job)
        if start is not None and job.rank == 0:
            check_schema(start, schema)
        cold_start = telemetry.cold_start
        telemetry.line(
            "started", link=job.link, started_at=telemetry.started_at, cold_start=cold_start, zone=own_zone()
        )
        telemetry.sample_memory()
        checkpoints = RunCheckpoints(folder, job, telemetry.line, names, telemetry.interval)
        counting = CountingChannel(channel, telemetry.moved)
        exchange = _exchange_of(job, s3, counting, lease, folder, telemetry, checkpoints, limit)
        telemetry.all_reduce_s = exchange.seconds
        session = TrainingSession(job, shard, exchange, folder, telemetry, lease.check, start, schema=schema)
        del shard  # the session replaces the rows by scaled ones
        through_faults(exchange.start, session.run)


def _exchange_of(
    job: WorkerJob,
    s3: "S3Client",
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
        revive=PeerReviver(job, s3, folder, telemetry) if job.revive else None,
        link=job.link,
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
