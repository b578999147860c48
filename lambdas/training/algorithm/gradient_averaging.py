"""Synchronous mini-batch gradient descent: one all-reduce of the gradient per round.

    parameters <- parameters - lr * (sum of all ranks' gradients) / (sum of their rows)

Dekel et al. 2012, Optimal Distributed Online Prediction Using Mini-Batches.
"""

import time

import numpy as np

from training.algorithm.epochs import EpochReport, Outcome, Shard, check_finite, evaluate_epoch, rounds_per_epoch
from training.exchange.collective import Exchange
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
    parameters = model.initial(job.seed)
    per_epoch = rounds_per_epoch(job, shard, exchange)
    epochs: list[EpochReport] = []
    round_number = 0
    for epoch in range(1, job.n_epochs + 1):
        started = time.perf_counter()
        for batch in range(per_epoch):
            round_number += 1
            round_started = time.perf_counter()
            exchange.begin_round(round_number)
            rows = slice(batch * job.batch_size, (batch + 1) * job.batch_size if batch + 1 < per_epoch else None)
            loss, gradient, samples = model.loss_and_gradient(parameters, shard.x[rows], shard.y[rows])
            total = exchange.all_reduce(np.append(gradient, np.float32(loss)), samples)
            mean_loss = float(total.values[-1]) / total.samples
            check_finite(mean_loss, round_number, job)
            parameters -= np.float32(job.lr / total.samples) * total.values[:-1]
            telemetry.round_done(round_number, per_epoch * job.n_epochs, mean_loss, samples, round_started)
        epochs.append(evaluate_epoch(job, epoch, round_number, started, model, parameters, shard, exchange))
        telemetry.epoch_done(epochs[-1])
    return Outcome(parameters, round_number, epochs)
