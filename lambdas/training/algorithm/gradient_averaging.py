"""Synchronous mini-batch gradient descent: one all-reduce of the gradient per round.

    gradient   <- (sum of all ranks' gradients) / (sum of their rows) + penalty's gradient
    velocity   <- momentum * velocity + gradient
    parameters <- parameters - lr * velocity

Dekel et al. 2012, Optimal Distributed Online Prediction Using Mini-Batches.

In `async` the sum has the newest gradient of every rank, so parameters diverge among ranks within an epoch.
At its end they are averaged.
"""

import time

import numpy as np

from training.algorithm.advice import advise
from training.algorithm.epochs import (
    EpochReport,
    Outcome,
    State,
    check_finite,
    evaluate,
    good_enough,
    join,
    penalty_of,
)
from training.algorithm.significance import SignificanceFilter
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters
from training.run.telemetry import Telemetry


class Descent(State, frozen=True, kw_only=True):
    """The state with the velocity of the parameters."""

    velocity: Parameters


# A diverging loss overflows; `check_finite` reports it.
@np.errstate(over="ignore", invalid="ignore")
def train(job: Job, model: Model, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    """Train this rank's part of the model; every rank returns the same parameters, bit for bit.

    Raises:
        InputError: The loss is no longer finite; all ranks raise it in the same round.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank continues from another rank's state.
    """
    batches, penalty = join(job, model, shard, exchange), penalty_of(job, model)
    rounds = len(batches.slices) * job.n_epochs
    exchange.expect_rounds(rounds)
    state = exchange.resume(Descent, lambda: _start(model.initial(job.seed)))
    significance = SignificanceFilter(job.significance, state.parameters.size, exchange)
    started = time.perf_counter()
    while not state.finished:
        number, parameters = state.round + 1, state.parameters
        round_started = time.perf_counter()
        exchange.begin_round(number, state, significance.held)
        rows = batches.slices[state.round % len(batches.slices)]
        loss, gradient, samples = model.loss_and_gradient(parameters, shard.x[rows], shard.y[rows])
        gradient = significance.select(gradient, parameters, job.lr / max(samples, 1), number)
        total = exchange.all_reduce_update(np.append(gradient, np.float32(loss)), samples)
        # In async a rank without rows may not have received any other rank's part yet; then nothing changes.
        rows_seen = max(total.samples, 1)
        mean_loss = float(total.values[-1]) / rows_seen
        check_finite(mean_loss, number, job)
        velocity = np.float32(job.momentum) * state.velocity
        velocity += total.divided_by(rows_seen)[:-1] + penalty.gradient(parameters)
        parameters = parameters - np.float32(job.lr) * velocity
        telemetry.round_done(number, rounds, mean_loss, samples, round_started)
        epochs, finished = state.epochs, number == rounds
        if number % len(batches.slices) == 0:
            if exchange.stale:
                parameters = exchange.all_reduce(parameters, 0).divided_by(exchange.world_size)
            seconds = time.perf_counter() - started
            figures = evaluate(job, model, parameters, shard, exchange)
            epochs = [*epochs, EpochReport(epoch=len(epochs) + 1, rounds=number, seconds=seconds, **figures)]
            telemetry.epoch_done(epochs[-1])
            finished = finished or good_enough(job, epochs[-1])
            started = time.perf_counter()
        state = Descent(round=number, parameters=parameters, epochs=epochs, finished=finished, velocity=velocity)
        exchange.end_round(state, significance.held)
    return Outcome(state, significance.details(), advise(job, state.epochs, batches.class_rows))


def _start(parameters: Parameters) -> Descent:
    return Descent(parameters=parameters, velocity=np.zeros_like(parameters))
