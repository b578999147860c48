"""Whole trainings on several ranks in one process, without S3, Lambda or Memcached."""

import msgspec
import numpy as np

from tests.support.ranks import exchange_of, on_all_ranks
from training.algorithm import admm, gradient_averaging, model_averaging
from training.algorithm.targets import TargetScaler
from training.data.shard import Shard
from training.exchange.channel.memory import MemoryChannel
from training.job import Job, WorkerJob, decode_job
from training.model.catalogue import loss_of, make_model, task_of
from training.run.telemetry import Telemetry

ALGORITHMS = {"grad_avg": gradient_averaging.train, "model_avg": model_averaging.train, "admm": admm.train}


def dealt(x, y, world_size, valid_ratio=0.0):
    """One shard per rank, rows dealt round-robin as the partitioner does."""
    shards = []
    for rank in range(world_size):
        own_x, own_y = x[rank::world_size], y[rank::world_size]
        cut = len(own_y) - int(valid_ratio * len(own_y))
        shards.append(Shard(own_x[:cut], own_y[:cut], own_x[cut:], own_y[cut:]))
    return shards


def skewed(x, y, world_size):
    """One shard per rank, rows sorted by class first: most ranks see one class only."""
    order = np.argsort(y, kind="stable")
    return [Shard(x[rows], y[rows], x[:0], y[:0]) for rows in np.array_split(order, world_size)]


def train_together(shards, *, sync_mode="reduce", max_staleness=0, model="lr", optim="grad_avg", initial=None, **job):
    """Trains one rank per shard, from the model's own start or from given parameters; returns the outcomes by rank."""
    regression = task_of(loss_of(model, job.get("loss"))) == "regression"
    n_classes = (
        None
        if regression
        else max(2, 1 + max(int(y.max(initial=0)) for shard in shards for y in (shard.y, shard.valid_y)))
    )
    config = Job(
        data_bucket="bucket",
        host="h",
        n_features=shards[0].x.shape[1],
        n_classes=n_classes,
        n_workers=len(shards),
        sync_mode=sync_mode,
        model=model,
        optim=optim,
        **job,
    )
    shape = {"n_features": config.n_features, "n_classes": n_classes or 1, "hidden_units": config.hidden_units}
    shape |= {"loss": config.loss_kind, "huber_delta": config.huber_delta}
    channel = MemoryChannel()

    def rank_main(rank):
        exchange = exchange_of(channel, rank, len(shards), sync_mode, max_staleness=max_staleness)
        telemetry = Telemetry("run", rank, 1, "request")
        if regression:
            event = msgspec.to_builtins(config) | {"worker_index": rank, "file": f"{rank}", "run_id": "run"}
            scaler = TargetScaler(decode_job(event, WorkerJob), shards[rank])
            shards[rank] = scaler.scaled(shards[rank], exchange)
        return ALGORITHMS[optim](config, make_model(model, **shape), shards[rank], exchange, telemetry, initial)

    return on_all_ranks(len(shards), rank_main)
