"""Model averaging: every rank trains alone for an epoch, then parameters are averaged, weighted by rows.

    parameters <- (sum of rows * local parameters over all ranks) / (sum of rows)

Zinkevich et al. 2010, Parallelized Stochastic Gradient Descent; McMahan et al. 2017, federated averaging.
A round is an epoch.

The optimiser's arrays start as zeros in every round: they belong to the way of a rank, and all ranks continue from
another point, the average. Steps count on through the rounds, so a schedule goes on.
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
from training.algorithm.steps import Steps
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters, gradient_of
from training.run.telemetry import Telemetry


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
    steps = Steps(job, model, penalty, len(batches.slices))
    exchange.expect_rounds(job.n_epochs)
    state = exchange.resume(State, lambda: State(parameters=start_of(job, model, initial)))
    samples = len(shard.y)
    while not state.finished:
        epoch = state.round + 1
        started = time.perf_counter()
        exchange.begin_round(epoch, state)
        done = state.round * len(batches.slices)
        local, loss = _local_epoch(model, steps, state.parameters, shard, batches.slices, done, exchange.rank)
        total = exchange.all_reduce_update(np.append(np.float32(samples) * local, np.float32(loss)), samples)
        mean_loss = float(total.values[-1]) / total.samples
        check_finite(mean_loss, epoch, job)
        parameters = total.divided_by(total.samples)[:-1]
        telemetry.round_done(epoch, job.n_epochs, mean_loss, samples, started, exchange.waits.waited)
        if exchange.stale:
            parameters = exchange.all_reduce(parameters, 0).divided_by(exchange.world_size)
        seconds = time.perf_counter() - started
        with telemetry.interval("evaluate"):
            figures = evaluate(job, model, parameters, shard, exchange)
        details = steps.details(done + len(batches.slices))
        report = EpochReport(epoch=epoch, rounds=epoch, seconds=seconds, details=details, **figures)
        telemetry.epoch_done(report)
        best = best_of(job, state.best_epoch, report, parameters)
        finished = epoch == job.n_epochs or good_enough(job, report) or gave_up(job, best, report)
        kept, measured = best.parameters if best else parameters, {}
        if finished:
            with telemetry.interval("evaluate"):
                measured = measure_end(job, model, kept, shard, exchange, report)
        state = State(
            round=epoch,
            parameters=parameters,
            epochs=[*state.epochs, report],
            finished=finished,
            best_epoch=best,
            measured=measured,
        )
        exchange.end_round(state)
    warnings = [*batches.warnings, *advise(job, state.kept, batches.class_rows, batches.zero_loss)]
    return Outcome(state, warnings=warnings)


def _local_epoch(
    model: Model, steps: Steps, start: Parameters, shard: Shard, slices: list[slice], done: int, rank: int
) -> tuple[Parameters, float]:
    """Train one pass over this rank's rows; return the new parameters and the loss summed along the way.

    Args:
        model: The model.
        steps: Its steps.
        start: The parameters before.
        shard: This rank's rows.
        slices: Its batches.
        done: Steps of all ranks' earlier passes.
        rank: This rank.
    """
    parameters, slots, loss_sum, age = start, steps.start(start), 0.0, 0
    for number, rows in enumerate(slices, done + 1):
        loss, gradient, samples = gradient_of(model, parameters, shard.x[rows], shard.y[rows], number, rank)
        if samples:
            age += 1
            parameters, slots = steps.take(parameters, slots, gradient / np.float32(samples), number, age)
            loss_sum += loss
    return parameters, loss_sum
