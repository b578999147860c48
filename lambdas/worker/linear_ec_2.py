"""The worker: trains one partition together with its peers.

The event is `training.job.WorkerJob`; `file` names this rank's partition.
"""

import os
import time
from contextlib import closing
from typing import Any

# A function has one virtual CPU per 1,769 MB; more BLAS threads than that only fight for it.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_CPUS = max(1, int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")) // 1769)
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(_CPUS))

# NumPy reads the variable above when it is imported.
from training import dataset  # noqa: E402
from training.algorithm import admm, expectation_maximisation, gradient_averaging, model_averaging  # noqa: E402
from training.algorithm.epochs import Outcome, Shard  # noqa: E402
from training.algorithm.standardisation import Scaling, measure  # noqa: E402
from training.errors import RunAborted  # noqa: E402
from training.exchange.exchange import Exchange  # noqa: E402
from training.exchange.frame import Encoding  # noqa: E402
from training.exchange.mailbox import Mailbox  # noqa: E402
from training.exchange.memcached import MemcachedChannel  # noqa: E402
from training.job import WorkerJob, decode_job  # noqa: E402
from training.model.registry import gradient_model  # noqa: E402
from training.results import RunFolder, get_object, s3_client  # noqa: E402
from training.telemetry import Telemetry, max_rss_mb, percentiles_ms  # noqa: E402
from training.trained import TrainedModel, encode_model  # noqa: E402

ATTEMPT = 1
_BY_GRADIENT = {"grad_avg": gradient_averaging.train, "model_avg": model_averaging.train, "admm": admm.train}

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
                _run(job, mailbox, folder, telemetry)
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


def _run(job: WorkerJob, mailbox: Mailbox, folder: RunFolder, telemetry: Telemetry) -> None:
    with telemetry.phase("load"):
        shard = _load(job)
    exchange = Exchange(
        mailbox,
        job.sync_mode,
        join_timeout_s=job.join_timeout_s,
        round_timeout_s=job.round_timeout_s,
        update_encoding=_update_encoding(job),
        max_staleness=job.max_staleness,
    )
    with telemetry.phase("train"):
        scaling = None
        if job.standardise:
            scaling = measure(shard, exchange)
            shard = Shard(scaling.apply(shard.x), shard.y, scaling.apply(shard.valid_x), shard.valid_y)
        outcome = _train(job, shard, exchange, telemetry)
    with telemetry.phase("store"):
        _store(job, outcome, scaling, exchange, shard, folder, telemetry)


def _load(job: WorkerJob) -> Shard:
    source = f"s3://{job.data_bucket}/{job.file}"
    body = get_object(_s3, job.data_bucket, job.file)
    rows = dataset.decode_partition(body, source=source, n_features=job.n_features, data_type=job.data_type)
    classes = dataset.labels_to_classes(rows.y, job.n_classes, source=source)
    n_train = len(classes) - int(job.valid_ratio * len(classes))
    return Shard(rows.x[:n_train], classes[:n_train], rows.x[n_train:], classes[n_train:])


def _train(job: WorkerJob, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    if job.optim == "em":
        return expectation_maximisation.train(job, shard, exchange, telemetry)
    model = gradient_model(job.model, n_features=job.n_features, n_classes=job.n_classes, hidden_units=job.hidden_units)
    return _BY_GRADIENT[job.optim](job, model, shard, exchange, telemetry)


def _update_encoding(job: WorkerJob) -> Encoding:
    if job.significance > 0:
        return Encoding.SPARSE
    return Encoding.FLOAT16 if job.exchange_dtype == "float16" else Encoding.FLOAT32


def _store(
    job: WorkerJob,
    outcome: Outcome,
    scaling: Scaling | None,
    exchange: Exchange,
    shard: Shard,
    folder: RunFolder,
    telemetry: Telemetry,
) -> None:
    name = f"{job.rank}.{ATTEMPT}.json"
    all_reduce_s = exchange.seconds or [0.0]  # a rank alone exchanges nothing
    timings = {"round_ms": telemetry.round_s, "all_reduce_ms": all_reduce_s}
    folder.write_json(f"telemetry/{name}", {key: [1e3 * s for s in seconds] for key, seconds in timings.items()})
    if job.rank == 0:
        trained = TrainedModel.of_job(job, outcome.parameters, scaling)
        sha256 = folder.write("model.npz", encode_model(trained))
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
                "exchange": exchange.report() | outcome.details,
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
            "all_reduce_ms": percentiles_ms(all_reduce_s),
            "max_rss_mb": max_rss_mb(),
        },
    )
