"""A cache of three nodes, of which some are lost, come back empty, or are replaced under another address.

Every run ends with the model of an undisturbed run on one node, bit for bit.
"""

import time

import msgspec
import pytest

from harness.stack import start_private_stack
from tests.faults.test_scenarios import Scenario
from tests.support.fault_jobs import BIG, DATA, JOBS, N_WORKERS, PATTERNS
from tests.support.running import run_job

NODES = 3
SCENARIOS = [
    Scenario("3 nodes, undisturbed", ()),
    Scenario("a node restarts empty", ("restart memcached node=2 round=5",)),
    Scenario("a node is away for 1 s", ("restart memcached node=2 round=5 down_s=1",), daily=False),
    Scenario("a node is replaced", ("replace memcached node=2 round=5",)),
    Scenario("a node is replaced after 1 s", ("replace memcached node=2 round=5 down_s=1",), daily=False),
    Scenario("a node is replaced while ranks join", ("replace memcached node=2 round=0",)),
    Scenario("a node is lost", ("lose memcached node=2 round=5",)),
    Scenario("all nodes are replaced", ("replace memcached round=5",)),
    Scenario(
        "one node is left of three",
        ("lose memcached node=1 round=4", "lose memcached node=3 round=8"),
        daily=False,
    ),
    Scenario(
        "a node is replaced twice, a rank killed in between",
        ("replace memcached node=2 round=3", "kill rank=1 round=5", "replace memcached node=2 round=8"),
        attempts={1: 2},
    ),
    Scenario(
        "a node is replaced while the network is cut",
        ("cut s=0.5 round=5", "replace memcached node=2 round=5"),
        daily=False,
    ),
    Scenario("a node with pieces of frames is replaced", ("replace memcached node=2 round=2",), job=BIG, daily=False),
]
COMBINATIONS = list(zip(JOBS, PATTERNS, strict=True))


@pytest.fixture(scope="session")
def stack_of_nodes(fault_settings):
    """A stack like the one of the other scenarios, with three nodes."""
    settings = msgspec.structs.replace(
        fault_settings, stack=msgspec.structs.replace(fault_settings.stack, cache_nodes=NODES)
    )
    with start_private_stack(settings, s3="moto", faults=True) as state:
        yield state


def parameters():
    """Every scenario with three combinations, one of which is daily."""
    for number, scenario in enumerate(SCENARIOS):
        for index, (algorithm, pattern) in enumerate(COMBINATIONS):
            daily = scenario.daily and index == number % len(COMBINATIONS)
            marks = [pytest.mark.timeout(scenario.limit_s + 30), *([] if daily else [pytest.mark.slow])]
            yield pytest.param(scenario, algorithm, pattern, marks=marks, id=f"{scenario.name}-{algorithm}-{pattern}")


@pytest.mark.xdist_group("cache nodes")
@pytest.mark.parametrize(("scenario", "algorithm", "pattern"), list(parameters()))
def test_the_model_is_that_of_one_node(
    scenario, algorithm, pattern, stack_of_nodes, fault_settings, undisturbed, entry
):
    """A run on the nodes that are left, or on new ones, goes on; nothing else would have these bits."""
    entry(scenario=scenario.name, algorithm=algorithm, pattern=pattern)
    sha256, seconds = undisturbed(algorithm, pattern, **scenario.job)
    started = time.perf_counter()

    job = {"data": DATA, "n_workers": N_WORKERS, **JOBS[algorithm], "sync_mode": pattern, **scenario.job}
    summary = run_job(stack_of_nodes, fault_settings, faults=scenario.faults, **job)

    took = time.perf_counter() - started
    entry(outcome="same model", cost=f"{took - seconds:+.2f}")
    assert all(event["times"] for event in summary.events if event["event"] == "fault"), summary.events
    assert sha256 == summary.model["sha256"]
    assert took < scenario.limit_s
    expected = [scenario.attempts.get(rank, 1) for rank in range(len(summary.workers))]
    assert expected == [worker.attempts for worker in summary.workers]
