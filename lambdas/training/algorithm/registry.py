"""The algorithms by the job's `optim`; only the one that a job asks for is imported."""

import importlib
from collections.abc import Callable

from training.algorithm.epochs import Outcome
from training.algorithm.own_start import own_model
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Parameters
from training.model.catalogue import make_model, row_of
from training.run.telemetry import Telemetry

# Called with job, model (unless the job's model has no gradient), shard, exchange, telemetry, and (with a model) the
# parameters to start from, or None.
Trainer = Callable[..., Outcome]

# Modules of `training.algorithm`, each with a function `train`.
ALGORITHMS = {
    "grad_avg": "gradient_averaging",
    "model_avg": "model_averaging",
    "admm": "admm",
    "em": "expectation_maximisation",
}


def train(
    job: Job,
    n_classes: int,
    shard: Shard,
    exchange: Exchange,
    telemetry: Telemetry,
    initial: Parameters | None = None,
) -> Outcome:
    """Train the job's model with the job's algorithm; every rank returns the same parameters, bit for bit.

    Args:
        job: The job.
        n_classes: Classes of the data, 1 for a regression; a clustering ignores it.
        shard: This rank's rows, with the numbers of their classes.
        exchange: This rank's exchange, in round 0.
        telemetry: Records rounds and epochs.
        initial: The parameters to start from; None for the model's own.

    Raises:
        InputError: The model cannot take such rows, or training diverged.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank continues from another rank's state.
    """
    algorithm: Trainer = importlib.import_module(f"training.algorithm.{ALGORITHMS[job.optim]}").train
    if row_of(job.model).is_clustering:
        return algorithm(job, shard, exchange, telemetry)
    if row_of(job.model).own:
        model, initial = own_model(job, n_classes, exchange, initial)
    else:
        model = make_model(
            job.model,
            n_features=job.n_features,
            n_classes=n_classes,
            hidden_units=job.hidden_units,
            loss=job.loss_kind,
            huber_delta=job.huber_delta,
        )
    return algorithm(job, model, shard, exchange, telemetry, initial)
