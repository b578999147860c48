"""A zone that is lost, or slow, as a user asks for it."""

import json
import subprocess
from pathlib import Path

import pytest

from harness.presets.zones import CACHE_ZONE, ZONES
from tests.conftest import HARNESS

ROOT = Path(__file__).parents[2]
JOB = ["--s3", "moto", "--data", "synthetic:rows=2000,features=5", "--n-workers", "4", "--batch-size", "50"]
OTHER_ZONE = ZONES[1]


def harness_run(*arguments):
    """Run the command in two zones."""
    flags = [*JOB, "--n-epochs", "2", "--zones", "2", "--retry-time-scale", "0.01", "--json", *arguments]
    return subprocess.run([HARNESS, "run", *flags], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


def summary_of(*arguments):
    """The summary of a run that succeeds."""
    result = harness_run(*arguments)
    assert 0 == result.returncode, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def undisturbed():
    """The model of the same job without faults."""
    return summary_of()["model"]["sha256"]


@pytest.mark.timeout(240)
def test_a_lost_zone_costs_attempts_and_nothing_else(undisturbed):
    """Its ranks are tried again in the zone that is left, and the model is the same."""
    summary = summary_of("--fault", f"lose zone={OTHER_ZONE} round=5")

    assert summary["model"]["sha256"] == undisturbed
    assert [1, 1, 2, 2] == sorted(worker["attempts"] for worker in summary["workers"])
    assert {CACHE_ZONE} == {worker["zone"] for worker in summary["workers"]}
    (fault,) = [event for event in summary["events"] if event["event"] == "fault"]
    assert (fault["times"], fault["round"]) == (1, 5)


@pytest.mark.timeout(240)
def test_the_caches_zone_takes_the_cache_along_and_comes_back(undisturbed):
    """Ranks in the other zone survive without a cache, which is empty when it is back."""
    summary = summary_of("--fault", f"lose zone={CACHE_ZONE} round=3 s=0.5")

    assert summary["model"]["sha256"] == undisturbed
    assert [1, 1, 2, 2] == sorted(worker["attempts"] for worker in summary["workers"])


@pytest.mark.timeout(240)
def test_a_slow_zone_is_slow_for_its_own_functions(undisturbed):
    """Commands and requests from the zone are delayed, and no others."""
    summary = summary_of(
        "--fault", f"delay memcached zone={OTHER_ZONE} ms=5", "--fault", f"delay s3 zone={OTHER_ZONE} ms=20"
    )

    assert summary["model"]["sha256"] == undisturbed
    assert {CACHE_ZONE, OTHER_ZONE} == {worker["zone"] for worker in summary["workers"]}
    memcached, s3 = (event for event in summary["events"] if event["event"] == "fault")
    # Two of the four ranks are there, each with a command at least in each round.
    assert memcached["times"] >= 2 * summary["rounds"]
    assert s3["times"] >= 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("lose zone=use1-az6", ["use1-az6", "use1-az1, use1-az2", "--zones 3"]),
        ("delay s3 zone=use1-az4 ms=1", ["use1-az4", "use1-az1, use1-az2"]),
        ("lose zone=use1-az1", ["the cache is in it", "s=5"]),
        ("lose zone=here", ["zone is 'here'", "use1-az1"]),
        ("lose", ["lacks zone"]),
    ],
)
def test_a_zone_that_is_none_is_refused(fault, words):
    """The message names the zones that there are, or what is missing; nothing is started."""
    result = harness_run("--fault", fault)

    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in words), result.stderr
