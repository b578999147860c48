"""Whole trainings of which a rank and the cache lose a private state at once, in virtual time: all ranks go back."""

from dataclasses import replace
from functools import lru_cache
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import pytest

from tests.support.simulation import Fault, Schedule, Simulation
from tests.support.training_alone import dealt
from training.algorithm import registry
from training.algorithm.labels import Labelling
from training.algorithm.standardisation import Standardiser
from training.algorithm.targets import TargetScaler
from training.errors import StateLost
from training.exchange.recovery.rollback import MOST_GENERATIONS
from training.job import WorkerJob
from training.run.telemetry import Telemetry

RANKS, FEATURES = 3, 4
LAMBDAS_DELAY_S = 60.0
KEYS = {"n_epochs": 2, "batch_size": 5, "valid_ratio": 0.1, "standardise": True}
TRAININGS = {
    "admm": {"optim": "admm", "n_admm_epochs": 8, "n_classes": 2},
    "admm of a regression": {"optim": "admm", "n_admm_epochs": 8, "model": "linear", "lr": 0.05},
    "significance filter": {"significance": 0.5, "n_classes": 2},
    "significance filter, slices": {"significance": 0.5, "n_classes": 2, "sync_mode": "reduce_scatter"},
    "significance filter of a regression": {"significance": 0.5, "model": "linear", "lr": 0.05},
}


class Rank:
    """What a session of one try keeps when it begins again; see `training.session`."""

    def __init__(self, rank, keys):
        random = np.random.default_rng(0)
        x = (7 + 3 * random.normal(size=(100, FEATURES))).astype(np.float32)
        regression = keys.get("model") == "linear"
        y = 50 + 9 * x[:, 0] if regression else np.where(x[:, 0] > 7, 4, 2)
        self.shard = dealt(x, y.astype(np.float32), RANKS, valid_ratio=0.1)[rank]
        event = {"data_bucket": "bucket", "n_features": FEATURES, "n_workers": RANKS, "host": "h", "run_id": "run"}
        self.job = msgspec.convert(event | keys | {"worker_index": rank, "file": f"{rank}"}, WorkerJob)
        self.labelling, self.targets = Labelling(self.job, self.shard), TargetScaler(self.job, self.shard)
        self.standardiser = Standardiser(self.shard)

    def train(self, exchange):
        """As a session does it."""
        self.shard = self.labelling.numbered(self.shard, exchange)
        self.shard = self.targets.scaled(self.shard, exchange)
        self.shard = self.standardiser.scaled(self.shard, exchange)
        n_classes = len(self.labelling.labels) or 1
        return registry.train(
            self.job, n_classes, self.shard, exchange, Telemetry("run", exchange.rank, 1, "request"), None
        )


def training_of(job):
    """One rank's training, from the agreement on labels on."""
    ranks = WeakKeyDictionary()

    def training(exchange, compute, *, private):  # noqa: ARG001 - what a simulation hands over
        if exchange not in ranks:
            ranks[exchange] = Rank(exchange.rank, job)
        return ranks[exchange].train(exchange).state

    return training


def played(name, *faults, **schedule):
    """A simulation of a training that has ended, and the results by rank."""
    mode = TRAININGS[name].get("sync_mode", "reduce")
    simulation = Simulation(
        Schedule(RANKS, mode, private=True, faults=faults, **schedule), training_of(KEYS | TRAININGS[name])
    )
    return simulation, simulation.run()


@lru_cache
def undisturbed(name):
    """The parameters without a fault."""
    (parameters,) = set(played(name)[1].values())
    return parameters


def lost(operation, rank=1):
    """A rank dies, and while it is away the cache comes back empty."""
    return Fault("kill", operation, rank=rank, seconds=0.5), Fault("restart", operation + 40, seconds=0.05)


def went_back(simulation):
    """The ranks that went back, and to which generation, in the order of time."""
    return [(rank, said["generation"]) for _, event, rank, said in simulation.notes if event == "rolled_back"]


@pytest.mark.parametrize("checkpoint_every", [0, 2])
@pytest.mark.parametrize("rank", range(RANKS))
@pytest.mark.parametrize("name", TRAININGS)
def test_all_ranks_go_back_and_end_with_the_undisturbed_bits(name, rank, checkpoint_every):
    """Each goes back once, to the newest checkpoint or the start; what all agreed on in round 0 is agreed on again."""
    simulation, results = played(name, *lost(250, rank), checkpoint_every=checkpoint_every)

    assert dict.fromkeys(range(RANKS), undisturbed(name)) == results
    assert [(other, 1) for other in range(RANKS)] == sorted(went_back(simulation))
    resumed = [said["round"] for _, event, _, said in simulation.notes if event == "resumed"]
    assert (RANKS if checkpoint_every else 0) == len(resumed)
    assert len(set(resumed)) <= 1


def test_ranks_go_back_again_when_it_happens_again():
    """To the second generation; the rank that died first may be the one that survives."""
    simulation, results = played("admm", *lost(300), *lost(1000, rank=2), checkpoint_every=2)

    assert dict.fromkeys(range(RANKS), undisturbed("admm")) == results
    assert {(rank, generation) for rank in range(RANKS) for generation in (1, 2)} == set(went_back(simulation))


@pytest.mark.parametrize("operation", range(620, 1020, 40))
@pytest.mark.parametrize("empty", [False, True])
def test_a_rank_that_dies_meanwhile_follows_the_others(operation, empty):
    """Its next try enters the generation that it finds; if the cache has lost it, the others store it again."""
    again = [Fault("restart", operation + 40)] if empty else []

    simulation, results = played("admm", *lost(300), Fault("kill", operation, rank=0, seconds=0.5), *again)

    assert dict.fromkeys(range(RANKS), undisturbed("admm")) == results
    assert went_back(simulation)


@pytest.mark.parametrize("rank", range(RANKS))
def test_peers_revive_ranks_before_and_after_they_go_back(rank):
    """Lambda would come after a minute: a rank that dies in the new generation is revived as one in the first."""
    slowly = [
        replace(fault, seconds=LAMBDAS_DELAY_S) if fault.kind == "kill" else fault
        for fault in (*lost(300, rank), *lost(1200, (rank + 1) % RANKS))
    ]

    simulation, results = played("admm", *slowly, revive=True, checkpoint_every=2)

    assert dict.fromkeys(range(RANKS), undisturbed("admm")) == results
    revived = [said["whom"] for _, event, _, said in simulation.notes if event == "revived"]
    assert [rank, (rank + 1) % RANKS] == revived
    assert {1, 2} == {generation for _, generation in went_back(simulation)}
    assert max(at for at, event, _, _ in simulation.notes if event in {"rolled_back", "resumed"}) < 20


def test_it_has_an_end():
    """A cache that loses the private state of a rank that dies each time ends the run, with what to look at."""
    faults = [fault for number in range(2 * MOST_GENERATIONS) for fault in lost(300 + 700 * number)]

    with pytest.raises(StateLost, match=r"gone back 10 times already.*Memcached"):
        played("admm", *faults)


def test_ranks_go_back_in_async_too():
    """Its bits are not those of another run, but all ranks end with the same; clocks and parts start anew."""
    job = KEYS | {"significance": 0.5, "n_classes": 2, "sync_mode": "async", "max_staleness": 1}
    simulation = Simulation(Schedule(RANKS, "async", private=True, faults=lost(250)), training_of(job))

    results = simulation.run()

    assert 1 == len(set(results.values()))
    assert [(rank, 1) for rank in range(RANKS)] == sorted(went_back(simulation))
