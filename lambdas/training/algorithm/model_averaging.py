"""Model averaging: every rank trains alone for an epoch, then parameters are averaged, weighted by rows.

    parameters <- (sum of rows * local parameters over all ranks) / (sum of rows)

Zinkevich et al. 2010, Parallelized Stochastic Gradient Descent; McMahan et al. 2017, federated averaging.
A round is an epoch.
"""

import time

import numpy as np

from training.algorithm.advice import advise
from training.algorithm.epochs import (
    EpochReport,
    Outcome,
    Penalty,
    State,
    check_finite,
    evaluate,
    good_enough,
    join,
    penalty_of,
)
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters
from training.run.telemetry import Telemetry


@np.errstate(over="ignore", invalid="ignore")
def train(job: Job, model: Model, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    """Train this rank's part of the model; every rank returns the same parameters, bit for bit.

    Raises:
        InputError: The loss is no longer finite; all ranks raise it in the same round.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank continues from another rank's state.
    """
    batches, penalty = join(job, model, shard, exchange), penalty_of(job, model)
    exchange.expect_rounds(job.n_epochs)
    state = exchange.resume(State, lambda: State(parameters=model.initial(job.seed)))
    samples = len(shard.y)
    while not state.finished:
        epoch = state.round + 1
        started = time.perf_counter()
        exchange.begin_round(epoch, state)
        local, loss = _local_epoch(job, model, penalty, state.parameters, shard, batches.slices)
        total = exchange.all_reduce_update(np.append(np.float32(samples) * local, np.float32(loss)), samples)
        mean_loss = float(total.values[-1]) / total.samples
        check_finite(mean_loss, epoch, job)
        parameters = total.divided_by(total.samples)[:-1]
        telemetry.round_done(epoch, job.n_epochs, mean_loss, samples, started)
        if exchange.stale:
            parameters = exchange.all_reduce(parameters, 0).divided_by(exchange.world_size)
        seconds = time.perf_counter() - started
        figures = evaluate(job, model, parameters, shard, exchange)
        report = EpochReport(epoch=epoch, rounds=epoch, seconds=seconds, **figures)
        telemetry.epoch_done(report)
        finished = epoch == job.n_epochs or good_enough(job, report)
        state = State(round=epoch, parameters=parameters, epochs=[*state.epochs, report], finished=finished)
        exchange.end_round(state)
    return Outcome(state, warnings=advise(job, state.epochs, batches.class_rows))


def _local_epoch(
    job: Job, model: Model, penalty: Penalty, start: Parameters, shard: Shard, slices: list[slice]
) -> tuple[Parameters, float]:
    """Train one pass over this rank's rows; return the new parameters and the loss summed along the way."""
    parameters, velocity, loss_sum = start.copy(), np.zeros_like(start), 0.0
    for rows in slices:
        loss, gradient, samples = model.loss_and_gradient(parameters, shard.x[rows], shard.y[rows])
        if samples:
            velocity *= np.float32(job.momentum)
            velocity += gradient / np.float32(samples) + penalty.gradient(parameters)
            parameters -= np.float32(job.lr) * velocity
            loss_sum += loss
    return parameters, loss_sum
