"""Synchronous mini-batch gradient descent: one all-reduce of the gradient per round.

    gradient   <- (sum of all ranks' gradients) / (sum of their rows) + penalty's gradient
    velocity   <- momentum * velocity + gradient
    parameters <- parameters - lr * velocity

Dekel et al. 2012, Optimal Distributed Online Prediction Using Mini-Batches.

In `async` the sum holds the newest gradient of every rank, so ranks drift apart within an epoch; at its end their
parameters are averaged.
"""

import time

import numpy as np

from training.algorithm.epochs import (
    EpochReport,
    Outcome,
    Shard,
    check_finite,
    evaluate,
    good_enough,
    join,
    penalty_of,
)
from training.algorithm.significance import SignificanceFilter
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model
from training.telemetry import Telemetry


# Overflow is what a diverging loss looks like: it is looked for and told below.
@np.errstate(over="ignore", invalid="ignore")
def train(job: Job, model: Model, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    """Trains this rank's part of the model; every rank returns the same parameters, bit for bit.

    Raises:
        InputError: The loss is no longer finite; all ranks see it in the same round.
        ExchangeError: A peer, the channel or the run failed.
    """
    batches, penalty = join(job, shard, exchange), penalty_of(job, model)
    parameters = model.initial(job.seed)
    velocity = np.zeros_like(parameters)
    significance = SignificanceFilter(job.significance, parameters.size)
    epochs: list[EpochReport] = []
    round_number = 0
    for epoch in range(1, job.n_epochs + 1):
        started = time.perf_counter()
        for rows in batches.slices:
            round_number += 1
            round_started = time.perf_counter()
            exchange.begin_round(round_number)
            loss, gradient, samples = model.loss_and_gradient(parameters, shard.x[rows], shard.y[rows])
            gradient = significance.select(gradient, parameters, job.lr / max(samples, 1), round_number)
            total = exchange.all_reduce_update(np.append(gradient, np.float32(loss)), samples)
            # In async a rank without rows may not have seen a part of any other yet: then nothing changes.
            rows_seen = max(total.samples, 1)
            mean_loss = float(total.values[-1]) / rows_seen
            check_finite(mean_loss, round_number, job)
            velocity *= np.float32(job.momentum)
            velocity += total.divided_by(rows_seen)[:-1] + penalty.gradient(parameters)
            parameters -= np.float32(job.lr) * velocity
            telemetry.round_done(round_number, len(batches.slices) * job.n_epochs, mean_loss, samples, round_started)
        if exchange.stale:
            parameters = exchange.all_reduce(parameters, 0).divided_by(exchange.world_size)
        seconds = time.perf_counter() - started
        figures = evaluate(job, model, parameters, shard, exchange)
        epochs.append(EpochReport(epoch=epoch, rounds=round_number, seconds=seconds, **figures))
        telemetry.epoch_done(epochs[-1])
        if good_enough(job, epochs[-1]):
            break
    return Outcome(parameters, round_number, epochs, significance.details())
