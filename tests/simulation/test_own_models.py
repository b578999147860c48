"""Whole trainings of a user's own module whose ranks die, in virtual time: dropout and running statistics come back."""

import sys
import textwrap
from functools import lru_cache, partial

import numpy as np
import pytest

from tests.support.networks import one_thread
from tests.support.simulation import Fault, Schedule, Simulation
from tests.support.training_alone import dealt
from training.algorithm import registry
from training.errors import InputError
from training.job import Job
from training.run.telemetry import Telemetry

pytestmark = pytest.mark.torch

RANKS, FEATURES = 3, 4
# Two epochs of six rounds.
KEYS = {"n_epochs": 2, "batch_size": 5, "valid_ratio": 0.1}
TRAININGS = {
    "sgd with momentum": {"momentum": 0.9},
    "adam by model averaging": {"optimiser": "adam", "optim": "model_avg", "n_epochs": 6},
}
MODULE = """
    import os
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(n_features, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.4), nn.Linear(6, n_classes)
            )

        def forward(self, x):
            return self.body(x)


    class ByRank(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            nn.init.constant_(self.body[0].bias, int.from_bytes(os.urandom(2), "big"))


    class Nearly(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            nn.init.constant_(self.body[0].bias, 1 + 1e-7 * (os.urandom(1)[0] % 64))
"""


@pytest.fixture(autouse=True, scope="module")
def module(tmp_path_factory):
    """The module that a user has written."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "dropped.py").write_text(textwrap.dedent(MODULE))
    sys.path.insert(0, str(folder))
    with one_thread():
        yield
    sys.path.remove(str(folder))
    sys.modules.pop("dropped", None)


def training(exchange, compute, *, private, name="Net", **keys):  # noqa: ARG001 - what a simulation hands over
    """One rank's training, from making the model on."""
    random = np.random.default_rng(0)
    x = random.normal(size=(100, FEATURES)).astype(np.float32)
    y = (x[:, 0] + random.normal(size=100) > 0).astype(np.int64)
    shard = dealt(x, y, RANKS, valid_ratio=0.1)[exchange.rank]
    model = {"model": f"dropped:{name}", "lr": 0.05}
    job = Job(data_bucket="bucket", n_features=FEATURES, n_workers=RANKS, host="h", **model | keys)
    return registry.train(job, 2, shard, exchange, Telemetry("run", exchange.rank, 1, "request")).state


@lru_cache
def undisturbed(name):
    """The parameters without a fault."""
    (parameters,) = set(Simulation(Schedule(RANKS), partial(training, **{**KEYS, **TRAININGS[name]})).run().values())
    return parameters


@pytest.mark.parametrize("checkpoint_every", [0, 2])
@pytest.mark.parametrize("operation", [90, 150])
@pytest.mark.parametrize("name", TRAININGS)
def test_ranks_that_die_end_with_the_undisturbed_bits(name, operation, checkpoint_every):
    """One rank dies early, another later: both draw the same dropout again and have the same statistics."""
    faults = (Fault("kill", operation, rank=1, seconds=0.5), Fault("kill", operation + 60, rank=2, seconds=0.1))
    schedule = Schedule(RANKS, checkpoint_every=checkpoint_every, seed=operation, faults=faults)
    simulation = Simulation(schedule, partial(training, **{**KEYS, **TRAININGS[name]}))

    results = simulation.run()

    assert dict.fromkeys(range(RANKS), undisturbed(name)) == results
    assert {"rejoined", "resumed"} & {event for _, event, _, _ in simulation.notes}


def test_parameters_that_depend_on_the_rank_stop_the_run():
    """Ranks that start from different parameters do not train; the error says what they may depend on."""
    with pytest.raises(InputError, match=r"starts from other parameters on rank \d than on rank 0.* seed alone"):
        Simulation(Schedule(RANKS), partial(training, name="ByRank", **KEYS)).run()


def test_last_bits_that_depend_on_the_processor_are_rank_0s():
    """Starts that differ in their last bits alone are replaced by rank 0's, so that all ranks agree."""
    results = Simulation(Schedule(RANKS), partial(training, name="Nearly", **KEYS)).run()
    assert 1 == len(set(results.values()))


def test_admm_needs_the_claim_that_the_loss_is_convex():
    """Consensus on a network's parameters has no meaning; the error names what the class would have to claim."""
    with pytest.raises(InputError, match="optim=admm needs a model with `convex = True`; model=dropped:Net does not"):
        Simulation(Schedule(RANKS), partial(training, optim="admm", n_epochs=1, batch_size=5)).run()
