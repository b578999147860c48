"""Consensus ADMM in its scaled form: every rank solves its own problem, pulled towards the common z.

    x_i <- argmin f_i(x) + rho/2 ||x - z + u_i||^2      by `n_epochs` passes of gradient descent over the rank's rows
    z   <- argmin n penalty(z) + n rho/2 ||z - mean(x + u)||^2
    u_i <- u_i + x_i - z                                 the scaled dual, one per rank, never sent

f_i is n times the rank's share of the mean loss, so that sum f_i + n penalty is n times the objective,
whatever the sizes of the partitions.
The minimum over z is a soft threshold of lambda/rho (l1), or a factor rho/(lambda + rho) (squared l2).

Training stops when the loss is at rest and Boyd's residuals are within their tolerances:

    primal  sqrt(sum ||x_i - z||^2)    <=  sqrt(n p) ABSOLUTE + RELATIVE max(sqrt(sum ||x_i||^2), sqrt(n) ||z||)
    dual    rho sqrt(n) ||z - z_old||  <=  sqrt(n p) ABSOLUTE + RELATIVE rho sqrt(sum ||u_i||^2)

Boyd, Parikh, Chu, Peleato, Eckstein 2011: Distributed Optimization and Statistical Learning via ADMM, 3.3 and 7.1.
A round is one iteration.

The absolute part of the tolerances ignores the scale of the features: with large features a stable step moves the
parameters by less. So the loss must also be at rest: it changed by no more than LOSS_AT_REST in the last round.
"""

import math
import time
from collections.abc import Sequence

import msgspec
import numpy as np

from training.algorithm.advice import advise
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
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters, gradient_of
from training.run.telemetry import Telemetry

ABSOLUTE_TOLERANCE = 1e-4
RELATIVE_TOLERANCE = 1e-3
# As a share of the loss after the previous round.
LOSS_AT_REST = 1e-3


class LocalState(msgspec.Struct):
    """A rank's private state between two rounds: its solution x and its scaled dual u."""

    x: Parameters
    u: Parameters


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
    rho, samples = np.float32(job.rho), len(shard.y)
    weight = np.float32(exchange.world_size * samples / batches.total_rows)
    exchange.expect_rounds(job.n_admm_epochs)
    state = exchange.resume(State, lambda: State(parameters=start_of(job, model, initial)))
    local = exchange.resume_private(LocalState, lambda: LocalState(state.parameters, np.zeros_like(state.parameters)))
    x, u, z = local.x.copy(), local.u.copy(), state.parameters
    while not state.finished:
        number = state.round + 1
        started = time.perf_counter()
        exchange.begin_round(number, state, LocalState(x, u))
        for passed in range(state.round * job.n_epochs, number * job.n_epochs):
            for step, rows in enumerate(batches.slices, passed * len(batches.slices) + 1):
                _, gradient, count = gradient_of(model, x, shard.x[rows], shard.y[rows], step, exchange.rank)
                if count:
                    x -= np.float32(job.lr) * (weight * gradient / np.float32(count) + rho * (x - z + u))
        total = exchange.all_reduce_update(x + u, samples)
        z_old, z = z, penalty.nearest(total.divided_by(exchange.world_size), job.rho)
        u += x - z
        residuals = _residuals(job.rho, [x - z, x, u], z, z - z_old, exchange)
        check_finite(residuals["primal_residual"], number, job)
        passed_rows, gap, waited = samples * job.n_epochs, residuals["primal_residual"], exchange.waits.waited
        telemetry.round_done(number, job.n_admm_epochs, gap, passed_rows, started, waited)
        seconds = time.perf_counter() - started
        with telemetry.interval("evaluate"):
            figures = evaluate(job, model, z, shard, exchange)
        report = EpochReport(epoch=number, rounds=number, seconds=seconds, details=residuals, **figures)
        telemetry.epoch_done(report)
        finished = number == job.n_admm_epochs or _converged([*state.epochs, report]) or good_enough(job, report)
        measured = {}
        if finished:
            with telemetry.interval("evaluate"):
                measured = measure_end(job, model, z, shard, exchange, report)
        epochs = [*state.epochs, report]
        state = State(round=number, parameters=z, epochs=epochs, finished=finished, measured=measured)
        exchange.end_round(state, LocalState(x, u))
    warnings = [*batches.warnings, *advise(job, state.epochs, batches.class_rows, batches.zero_loss)]
    return Outcome(state, warnings=warnings)


def _residuals(
    rho: float, own: list[Parameters], z: Parameters, change: Parameters, exchange: Exchange
) -> dict[str, float]:
    """Return both residuals and their tolerances; `own` has this rank's x - z, x and u, whose squares are summed."""
    squares = np.array([np.square(values, dtype=np.float64).sum() for values in own])
    gap, x_norm, u_norm = np.sqrt(exchange.all_reduce(squares, 0).values).tolist()
    root_n = math.sqrt(exchange.world_size)
    absolute = root_n * math.sqrt(z.size) * ABSOLUTE_TOLERANCE
    return {
        "primal_residual": gap,
        "primal_tolerance": absolute + RELATIVE_TOLERANCE * max(x_norm, root_n * float(np.linalg.norm(z))),
        "dual_residual": rho * root_n * float(np.linalg.norm(change)),
        "dual_tolerance": absolute + RELATIVE_TOLERANCE * rho * u_norm,
    }


def _converged(epochs: Sequence[EpochReport]) -> bool:
    """Return whether training has converged, from all-reduced figures alone, so that all ranks decide alike."""
    if len(epochs) < 2:
        return False
    before, last = epochs[-2:]
    residuals = last.details
    return (
        abs(before.loss - last.loss) <= LOSS_AT_REST * abs(before.loss)
        and residuals["primal_residual"] <= residuals["primal_tolerance"]
        and residuals["dual_residual"] <= residuals["dual_tolerance"]
    )
