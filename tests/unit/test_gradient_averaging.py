"""Gradient averaging: n workers are one worker with the same global batch."""

import numpy as np
import pytest

from tests.support.ranks import exchange_of, on_all_ranks
from training.algorithm import gradient_averaging
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.channel.memory import MemoryChannel
from training.job import Job
from training.model.linear import logistic_regression
from training.run.telemetry import Telemetry

FEATURES = 6


def rows(count, seed=0):
    """Rows with a linear signal and their classes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, FEATURES)).astype(np.float32)
    y = (x @ np.arange(FEATURES) + random.normal(size=count) > 0).astype(np.int64)
    return x, y


def train_on(world_size, x, y, *, mode="reduce", valid_ratio=0.0, **job):
    """Trains as `world_size` ranks would, rows dealt round-robin; returns the outcomes by rank."""
    job = Job(data_bucket="bucket", n_features=FEATURES, n_workers=world_size, host="h", sync_mode=mode, **job)
    channel = MemoryChannel()

    def rank_main(rank):
        own_x, own_y = x[rank::world_size], y[rank::world_size]
        cut = len(own_y) - int(valid_ratio * len(own_y))
        shard = Shard(own_x[:cut], own_y[:cut], own_x[cut:], own_y[cut:])
        exchange = exchange_of(channel, rank, world_size, mode)
        return gradient_averaging.train(
            job, logistic_regression(FEATURES, 2), shard, exchange, Telemetry("run", rank, 1, "request")
        )

    return on_all_ranks(world_size, rank_main)


@pytest.mark.parametrize("mode", ["reduce", "all_gather"])
@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 50), (3, 40), (4, 30), (4, 7)])
def test_n_workers_equal_one_worker_with_the_same_global_batch(mode, world_size, batch_size):
    """Mini-batches in file order: the same parameters, losses and rounds as one worker, to float tolerance."""
    x, y = rows(1201)
    (alone,) = train_on(1, x, y, batch_size=world_size * batch_size, n_epochs=3)

    together = train_on(world_size, x, y, mode=mode, batch_size=batch_size, n_epochs=3)

    assert alone.rounds == together[0].rounds
    np.testing.assert_allclose(together[0].parameters, alone.parameters, atol=1e-5)
    assert [epoch.loss for epoch in together[0].epochs] == pytest.approx(
        [epoch.loss for epoch in alone.epochs], abs=1e-5
    )


def test_every_rank_ends_with_the_same_bits():
    """The invariant: parameters and figures are identical on all ranks."""
    x, y = rows(1001)

    outcomes = train_on(4, x, y, batch_size=20, n_epochs=2, valid_ratio=0.1)

    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert 1 == len({outcome.epochs[-1].validation.loss for outcome in outcomes})


def test_a_short_tail_joins_the_last_batch():
    """12,001 rows at 3,000 a worker on 4 workers are one round, not one more for a single row."""
    x, y = rows(12_001)

    assert 1 == train_on(4, x, y, batch_size=3000, n_epochs=1)[0].rounds
    assert 1 == train_on(4, x, y, batch_size=3001, n_epochs=1)[0].rounds
    assert 2 == train_on(4, x, y, batch_size=1800, n_epochs=1)[0].rounds


def test_counts_are_weighted_when_partitions_differ():
    """A rank with few rows weighs little: the result is that of all rows together."""
    x, y = rows(1000)
    job = {"batch_size": 1000, "n_epochs": 4}
    (alone,) = train_on(1, x, y, **job)
    channel, cuts = MemoryChannel(), [slice(0, 900), slice(900, 990), slice(990, 1000)]
    config = Job(data_bucket="bucket", n_features=FEATURES, n_workers=3, host="h", sync_mode="reduce", **job)

    def rank_main(rank):
        shard = Shard(x[cuts[rank]], y[cuts[rank]], x[:0], y[:0])
        exchange = exchange_of(channel, rank, 3, "reduce")
        telemetry = Telemetry("run", rank, 1, "request")
        return gradient_averaging.train(config, logistic_regression(FEATURES, 2), shard, exchange, telemetry)

    for outcome in on_all_ranks(3, rank_main):
        np.testing.assert_allclose(outcome.parameters, alone.parameters, atol=1e-5)


def test_the_loss_falls():
    """On data with a signal the loss falls with every epoch."""
    x, y = rows(2000)

    losses = [epoch.loss for epoch in train_on(2, x, y, batch_size=100, n_epochs=4)[0].epochs]

    assert sorted(losses, reverse=True) == losses
    assert losses[0] < 0.69


def test_a_diverging_loss_is_an_error_on_every_rank():
    """When the loss is no longer finite, training stops and names the round and the learning rate."""
    x, y = rows(100)

    with pytest.raises(InputError, match=r"round \d+.*diverged; lower lr \(now 1000000.0\)"):
        train_on(2, np.float32(1e34) * x, y, batch_size=10, n_epochs=5, lr=1e6)
