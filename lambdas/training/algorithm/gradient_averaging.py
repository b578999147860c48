"""Synchronous mini-batch gradient descent: one all-reduce of the gradient per round.

    gradient   <- (sum of all ranks' gradients) / (sum of their rows)
    parameters <- a step along it, the same on every rank: see `training.algorithm.steps`

Dekel et al. 2012, Optimal Distributed Online Prediction Using Mini-Batches.

In `async` the sum has the newest gradient of every rank, so parameters diverge among ranks within an epoch.
At its end they are averaged; the optimiser's arrays stay each rank's own.
"""

import time

import numpy as np

from training.algorithm.advice import advise
from training.algorithm.early_stopping import best_of, gave_up
from training.algorithm.epochs import (
    EpochReport,
    Outcome,
    State,
    check_finite,
    good_enough,
    join,
    penalty_of,
    start_of,
    weighted,
)
from training.algorithm.evaluation import evaluate
from training.algorithm.measuring import measure_end
from training.algorithm.optimisers import Slots
from training.algorithm.significance import SignificanceFilter
from training.algorithm.steps import Steps
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters, gradient_of, sections_of
from training.run.telemetry import Telemetry


class Descent(State, frozen=True, kw_only=True):
    """The state with the optimiser's arrays, so that a rank that comes back makes the same steps."""

    slots: Slots


# A diverging loss overflows; `check_finite` reports it.
@np.errstate(over="ignore", invalid="ignore")
def train(
    job: Job,
    model: Model,
    shard: Shard,
    exchange: Exchange,
    telemetry: Telemetry,
    initial: Parameters | None = None,
) -> Outcome:
    """Train this rank's part of the model; every rank returns the same parameters, bit for bit.

    Raises:
        InputError: The loss is no longer finite; all ranks raise it in the same round.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank continues from another rank's state.
    """
    batches, penalty = join(job, model, shard, exchange), penalty_of(job, model)
    model = weighted(job, model, batches)
    rounds = len(batches.slices) * job.n_epochs
    steps = Steps(job, model, penalty, len(batches.slices))
    exchange.expect_rounds(rounds)
    state = exchange.resume(Descent, lambda: _start(start_of(job, model, initial), steps))
    exchanged = sections_of(model, state.parameters).exchanged
    significance, started = SignificanceFilter(job.significance, exchanged, exchange), time.perf_counter()
    while not state.finished:
        number, parameters, round_started = state.round + 1, state.parameters, time.perf_counter()
        exchange.begin_round(number, state, significance.held)
        rows = batches.slices[state.round % len(batches.slices)]
        x, y = shard.x[rows], shard.y[rows]
        loss, gradient, samples = gradient_of(model, parameters, x, y, number, exchange.rank)
        gradient = significance.select(gradient, parameters[:exchanged], steps.rate(number) / max(samples, 1), number)
        total = exchange.all_reduce_update(np.append(gradient, np.float32(loss)), samples)
        # In async a rank without rows may not have received any other rank's part yet; then nothing changes.
        rows_seen = max(total.samples, 1)
        mean_loss = float(total.values[-1]) / rows_seen
        check_finite(mean_loss, number, job)
        gradient = total.divided_by(rows_seen)[:-1]
        parameters, slots = steps.take(parameters, state.slots, gradient, number, number)
        telemetry.round_done(number, rounds, mean_loss, samples, round_started, exchange.waits.waited)
        epochs, best, finished = state.epochs, state.best_epoch, number == rounds
        if number % len(batches.slices) == 0:
            if exchange.stale:
                parameters = exchange.all_reduce(parameters, 0).divided_by(exchange.world_size)
            seconds = time.perf_counter() - started
            with telemetry.interval("evaluate"):
                figures = evaluate(job, model, parameters, shard, exchange)
            epoch, details = len(epochs) + 1, steps.details(number)
            report = EpochReport(epoch=epoch, rounds=number, seconds=seconds, details=details, **figures)
            epochs = [*epochs, report]
            telemetry.epoch_done(report)
            best = best_of(job, best, report, parameters)
            finished = finished or good_enough(job, report) or gave_up(job, best, report)
            started = time.perf_counter()
        kept, measured = best.parameters if best else parameters, {}
        if finished:
            with telemetry.interval("evaluate"):
                measured = measure_end(job, model, kept, shard, exchange, epochs[-1])
        state = Descent(
            round=number,
            parameters=parameters,
            epochs=epochs,
            finished=finished,
            best_epoch=best,
            slots=slots,
            measured=measured,
        )
        exchange.end_round(state, significance.held)
    warnings = [*batches.warnings, *advise(job, state.kept, batches.class_rows, batches.zero_loss)]
    return Outcome(state, significance.details(), warnings)


def _start(parameters: Parameters, steps: Steps) -> Descent:
    return Descent(parameters=parameters, slots=steps.start(parameters))
