"""The worker: trains one partition together with its peers.

The event is `training.job.WorkerJob`; `file` names this rank's partition.
"""

import io
import os
import time
from contextlib import closing
from typing import Any

# A function has one virtual CPU per 1,769 MB; more BLAS threads than that only fight for it.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_CPUS = max(1, int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")) // 1769)
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(_CPUS))

import numpy as np  # noqa: E402 - reads the variable above when it is imported

from training import dataset  # noqa: E402
from training.algorithm import gradient_averaging  # noqa: E402
from training.algorithm.epochs import Outcome, Shard  # noqa: E402
from training.errors import RunAborted  # noqa: E402
from training.exchange.collective import Exchange  # noqa: E402
from training.exchange.mailbox import Mailbox  # noqa: E402
from training.exchange.memcached import MemcachedChannel  # noqa: E402
from training.job import WorkerJob, decode_job  # noqa: E402
from training.model.base import Model  # noqa: E402
from training.model.linear import LogisticRegression, SoftmaxRegression  # noqa: E402
from training.results import RunFolder, get_object, s3_client  # noqa: E402
from training.telemetry import Telemetry, max_rss_mb, percentiles_ms  # noqa: E402

ATTEMPT = 1

_s3 = s3_client()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - AWS's context has no type
    """Joins the run, trains, and stores this rank's results.

    Raises:
        TrainingError: The job, its data, a peer or the channel failed; the cause is told to all ranks
            and stored under `failed/` first.
    """
    job = decode_job(event, WorkerJob)
    telemetry = Telemetry(job.run_id, job.rank, ATTEMPT, context.aws_request_id)
    folder = RunFolder(_s3, job.results, job.run_id)
    telemetry.line("started")
    try:
        with telemetry.phase("connect"):
            channel = MemcachedChannel(job.host, job.port)
        with closing(channel):
            mailbox = Mailbox(
                channel,
                run_id=job.run_id,
                rank=job.rank,
                world_size=job.n_workers,
                attempt=ATTEMPT,
                part_prefix=job.tmp_bucket,
                merged_prefix=job.merged_bucket,
            )
            try:
                _train(job, mailbox, folder, telemetry)
            except RunAborted:
                raise  # the others know already
            except Exception as error:
                mailbox.abort(str(error))
                raise
    except Exception as error:
        kind = type(error).__name__
        telemetry.line("failed", kind=kind, cause=str(error))
        record = {"rank": job.rank, "kind": kind, "cause": str(error), "time": time.time()}
        folder.write_json(f"failed/{job.rank}.{ATTEMPT}.json", record)
        raise
    telemetry.line("finished", seconds=telemetry.seconds)
    return {"statusCode": 200, "body": {"run_id": job.run_id, "rank": job.rank}}


def _train(job: WorkerJob, mailbox: Mailbox, folder: RunFolder, telemetry: Telemetry) -> None:
    with telemetry.phase("load"):
        shard = _load(job)
    exchange = Exchange(mailbox, job.sync_mode, join_timeout_s=job.join_timeout_s, round_timeout_s=job.round_timeout_s)
    with telemetry.phase("train"):
        outcome = gradient_averaging.train(job, _model(job), shard, exchange, telemetry)
    with telemetry.phase("store"):
        _store(job, outcome, exchange, shard, folder, telemetry)


def _load(job: WorkerJob) -> Shard:
    source = f"s3://{job.data_bucket}/{job.file}"
    body = get_object(_s3, job.data_bucket, job.file)
    rows = dataset.decode_partition(body, source=source, n_features=job.n_features)
    classes = dataset.labels_to_classes(rows.y, job.n_classes, source=source)
    n_train = len(classes) - int(job.valid_ratio * len(classes))
    return Shard(rows.x[:n_train], classes[:n_train], rows.x[n_train:], classes[n_train:])


def _model(job: WorkerJob) -> Model:
    if job.n_classes == 2:
        return LogisticRegression(job.n_features)
    return SoftmaxRegression(job.n_features, job.n_classes)


def _store(
    job: WorkerJob,
    outcome: Outcome,
    exchange: Exchange,
    shard: Shard,
    folder: RunFolder,
    telemetry: Telemetry,
) -> None:
    name = f"{job.rank}.{ATTEMPT}.json"
    folder.write_json(
        f"telemetry/{name}",
        {
            "round_ms": [1e3 * s for s in telemetry.round_s],
            "all_reduce_ms": [1e3 * s for s in exchange.seconds],
        },
    )
    if job.rank == 0:
        model = io.BytesIO()
        np.savez(
            model,
            parameters=outcome.parameters,
            model=np.array(job.model),
            n_features=np.array(job.n_features),
            n_classes=np.array(job.n_classes),
        )
        sha256 = folder.write("model.npz", model.getvalue())
        last = outcome.epochs[-1]
        folder.write_json(
            "result.json",
            {
                "run_id": job.run_id,
                "rounds": outcome.rounds,
                "loss": last.loss,
                "accuracy": last.accuracy,
                "validation": last.validation,
                "epochs": outcome.epochs,
                "model": {"location": folder.location("model.npz"), "sha256": sha256},
            },
        )
    folder.write_json(
        f"workers/{name}",
        {
            "rank": job.rank,
            "attempt": ATTEMPT,
            "rows": len(shard.y),
            "valid_rows": len(shard.valid_y),
            "started_at": telemetry.started_at,
            "seconds": telemetry.seconds,
            "phases": telemetry.phases,
            "round_ms": percentiles_ms(telemetry.round_s),
            "all_reduce_ms": percentiles_ms(exchange.seconds),
            "max_rss_mb": max_rss_mb(),
        },
    )
