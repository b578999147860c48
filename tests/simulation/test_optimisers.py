"""Whole trainings whose ranks die, in virtual time: an optimiser's arrays come back with the rank that had them."""

from functools import lru_cache, partial

import numpy as np
import pytest

from tests.support.simulation import Fault, Schedule, Simulation
from tests.support.training_alone import dealt
from training.algorithm import gradient_averaging, model_averaging
from training.job import Job
from training.model.linear import logistic_regression
from training.run.telemetry import Telemetry

RANKS, FEATURES = 3, 4
# Two epochs of six rounds.
KEYS = {"n_epochs": 2, "batch_size": 5, "valid_ratio": 0.1}
TRAININGS = {
    "sgd with momentum": {"momentum": 0.9},
    "nesterov": {"optimiser": "nesterov", "momentum": 0.9},
    "adam": {"optimiser": "adam", "lr_schedule": "cosine", "warmup": 0.2, "clip_norm": 0.5},
    "adamw": {"optimiser": "adamw", "weight_decay": 0.01},
    "adam with l1": {"optimiser": "adam", "lambda_": 0.01, "penalty": "l1"},
    "adam by model averaging": {"optimiser": "adam", "optim": "model_avg", "lr_schedule": "step", "n_epochs": 6},
    "stopped early": {"patience": 1, "lr": 2.0, "n_epochs": 6},
    "stopped by a metric": {"patience": 1, "stop_metric": "auc", "lr": 2.0, "n_epochs": 6},
}


def training(exchange, compute, *, private, **keys):  # noqa: ARG001 - what a simulation hands over
    """One rank's training; `compute` lets time pass in every round."""
    random = np.random.default_rng(0)
    x = random.normal(size=(100, FEATURES)).astype(np.float32)
    y = (x[:, 0] + random.normal(size=100) > 0).astype(np.int64)
    shard = dealt(x, y, RANKS, valid_ratio=0.1)[exchange.rank]
    job = Job(data_bucket="bucket", n_features=FEATURES, n_workers=RANKS, host="h", **keys)
    algorithm = model_averaging if job.optim == "model_avg" else gradient_averaging
    model = logistic_regression(FEATURES, 2)
    return algorithm.train(job, model, shard, exchange, Telemetry("run", exchange.rank, 1, "request")).state


@lru_cache
def undisturbed(name):
    """The parameters without a fault."""
    (parameters,) = set(Simulation(Schedule(RANKS), partial(training, **{**KEYS, **TRAININGS[name]})).run().values())
    return parameters


@pytest.mark.parametrize("checkpoint_every", [0, 2])
@pytest.mark.parametrize("operation", [50, 90, 150])
@pytest.mark.parametrize("name", TRAININGS)
def test_ranks_that_die_end_with_the_undisturbed_bits(name, operation, checkpoint_every):
    """One rank dies early, another later: both continue from a snapshot, or all from a checkpoint."""
    faults = (Fault("kill", operation, rank=1, seconds=0.5), Fault("kill", operation + 60, rank=2, seconds=0.1))
    schedule = Schedule(RANKS, checkpoint_every=checkpoint_every, seed=operation, faults=faults)
    simulation = Simulation(schedule, partial(training, **{**KEYS, **TRAININGS[name]}))

    results = simulation.run()

    assert dict.fromkeys(range(RANKS), undisturbed(name)) == results
    assert {"rejoined", "resumed"} & {event for _, event, _, _ in simulation.notes}


def test_all_ranks_that_die_continue_from_a_checkpoint():
    """Nobody is left who could hand Adam's arrays over: they are in the checkpoint."""
    faults = tuple(Fault("kill", 120, rank=rank, seconds=1.0) for rank in range(RANKS))
    simulation = Simulation(
        Schedule(RANKS, checkpoint_every=1, faults=faults), partial(training, **{**KEYS, **TRAININGS["adam"]})
    )

    results = simulation.run()

    assert dict.fromkeys(range(RANKS), undisturbed("adam")) == results
    assert "resumed" in {event for _, event, _, _ in simulation.notes}
