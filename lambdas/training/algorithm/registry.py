"""The algorithms by the job's `optim`; only the one that a job asks for is imported."""

import importlib
from collections.abc import Callable

from training.algorithm.epochs import Outcome
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.catalogue import MODELS, make_model
from training.run.telemetry import Telemetry

# Called with job, model (unless the job's model has no gradient), shard, exchange and telemetry.
Trainer = Callable[..., Outcome]

# Modules of `training.algorithm`, each with a function `train`.
ALGORITHMS = {
    "grad_avg": "gradient_averaging",
    "model_avg": "model_averaging",
    "admm": "admm",
    "em": "expectation_maximisation",
}


def train(job: Job, n_classes: int, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    """Train the job's model with the job's algorithm; every rank returns the same parameters, bit for bit.

    Args:
        job: The job.
        n_classes: Classes of the data; a clustering ignores it.
        shard: This rank's rows, with the numbers of their classes.
        exchange: This rank's exchange, in round 0.
        telemetry: Records rounds and epochs.

    Raises:
        InputError: The model cannot take such rows, or training diverged.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank continues from another rank's state.
    """
    algorithm: Trainer = importlib.import_module(f"training.algorithm.{ALGORITHMS[job.optim]}").train
    if MODELS[job.model].is_clustering:
        return algorithm(job, shard, exchange, telemetry)
    model = make_model(job.model, n_features=job.n_features, n_classes=n_classes, hidden_units=job.hidden_units)
    return algorithm(job, model, shard, exchange, telemetry)
