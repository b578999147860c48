"""`harness run --network`, as a user types it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.presets.zones import CACHE_ZONE, ZONES
from tests.conftest import HARNESS

ROOT = Path(__file__).parents[2]
JOB = ["--s3", "moto", "--data", "synthetic:rows=2000,features=5", "--n-workers", "2", "--batch-size", "50"]
# Far enough apart that no machine is slow enough to mix them up.
ZONES_APART = ["--set", "store_latency=5", "--set", "store_latency_other_zone=25"]


def summary_of(*arguments):
    """The summary of a run that succeeds, and what it printed beside it."""
    result = subprocess.run(
        [HARNESS, "run", *JOB, "--json", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert 0 == result.returncode, result.stderr
    return json.loads(result.stdout), result.stderr


def shown(summary):
    """What `harness show` prints of a run."""
    result = subprocess.run(
        [HARNESS, "show", summary["run_id"]], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return " ".join(result.stdout.split())


def store_trips(summary):
    """The trips to the cache by zone: figure, drawn p50, delivered p50, and how many."""
    return {
        trip["zone"]: (trip["kind"], trip["drawn_ms"]["p50"], trip["delivered_ms"]["p50"], trip["trips"])
        for trip in summary["network"]["trips"]
        if trip["kind"].startswith("store")
    }


@pytest.mark.timeout(120)
def test_zones_change_the_trips_and_not_the_model():
    """With functions in two zones, those in the other one have its latency; the trained model is the same."""
    flags = ["--n-epochs", "1", "--network", "aws", *ZONES_APART]
    one, told = summary_of(*flags, "--network-seed", "3")
    two, _ = summary_of(*flags, "--zones", "2")

    assert one["model"]["sha256"] == two["model"]["sha256"]
    assert ("aws-2026", 3, 1, CACHE_ZONE) == tuple(
        one["network"][key] for key in ("preset", "seed", "zones", "cache_zone")
    )
    (near,) = store_trips(one).values()
    apart = store_trips(two)
    assert {CACHE_ZONE, ZONES[1]} == apart.keys()
    assert ("store_latency", 5.0) == near[:2] == apart[CACHE_ZONE][:2]
    assert ("store_latency_other_zone", 25.0) == apart[ZONES[1]][:2]
    # Answers are fetched early by as much as timers are usually late, up to 0.3 ms.
    assert near[2] > 4.5
    assert apart[ZONES[1]][2] > 24
    # Each rank has its own trips in each round.
    assert min(near[3], *(trips for *_, trips in apart.values())) >= one["rounds"]
    s3 = {trip["kind"]: trip["drawn_ms"]["p50"] for trip in one["network"]["trips"]}
    assert s3["s3_latency"] > 10
    text = shown(two)
    assert "network aws-2026, seed 0, 2 zones trips p50 drawn/delivered, ms: " in text
    assert re.search(rf"store_latency_other_zone 25.00/\d+\.\d\d \({ZONES[1]}\)", text), text
    assert all(f"warning: {line}" in told for line in one["network"]["warnings"] if "compute slower" in line)


@pytest.mark.timeout(120)
def test_faults_and_an_emulated_network_go_together():
    """A rank that is killed is started again, on the network's latency; a zone's fault knows whose connection it is."""
    summary, _ = summary_of(
        *("--n-epochs", "1", "--network", "aws", *ZONES_APART, "--zones", "2", "--retry-time-scale", "0.01"),
        *("--fault", "kill rank=1 round=3", "--fault", f"delay memcached zone={ZONES[1]} ms=2"),
    )

    assert [1, 2] == [worker["attempts"] for worker in summary["workers"]]
    assert all(event["times"] for event in summary["events"] if event["event"] == "fault")
    assert ("store_latency", 5.0) == store_trips(summary)[CACHE_ZONE][:2]


@pytest.mark.timeout(200)
def test_a_node_of_three_is_replaced_under_an_emulated_network():
    """Each node has its proxies; functions follow to the new address, whose trips are as long as the others'."""
    flags = ["--n-epochs", "1", "--network", "aws", *ZONES_APART, "--cache-nodes", "3"]
    undisturbed, _ = summary_of(*flags)
    summary, _ = summary_of(*flags, "--fault", "replace memcached node=2 round=3")

    assert [1] == [event["times"] for event in summary["events"] if event["event"] == "fault"]
    assert undisturbed["model"]["sha256"] == summary["model"]["sha256"]
    assert ("store_latency", 5.0) == store_trips(summary)[CACHE_ZONE][:2]
    assert store_trips(summary)[CACHE_ZONE][3] > store_trips(undisturbed)[CACHE_ZONE][3] / 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--network", "aws-2062"], r"there is no preset 'aws-2062'.*\n.*aws-2026"),
        (["--network", "aws", "--set", "store_latenzy=1"], "there is no figure 'store_latenzy'"),
        (["--network", "aws", "--set", "store_latency=-1"], "store_latency: value is -1"),
        (["--network", "aws", "--set", "cpu_factor=2"], r"the processor is not emulated\n.*--set cpu_factor=2"),
        (["--set", "store_latency=1"], "--set needs --network"),
        (["--network-seed", "1"], "--network-seed needs --network"),
        (["--network", "aws", "--target", "aws"], "takes no faults, no time scale, no --network"),
        (["--zones", "2", "--target", "aws"], "takes no faults, no time scale, no --network"),
        (["--cache-nodes", "2", "--target", "aws"], "no --network, --zones, --cache-nodes"),
        (["--cache-nodes", "2", "--fault", "restart memcached node=3"], r"node is 3\n.*\n.*1 to 2; `--cache-nodes 3`"),
        (["--fault", "lose memcached node=1"], r"without a node of the cache\n.*\n.*--cache-nodes 2"),
    ],
)
def test_bad_flags_are_refused_before_anything_starts(arguments, what):
    """The error names the flag's value and what would be right."""
    result = CliRunner().invoke(cli, ["run", *JOB, *arguments])

    assert 0 != result.exit_code
    assert isinstance(result.exception, HarnessError | SystemExit)
    assert re.search(what, str(result.exception) + result.output), result.output


def test_there_are_no_more_zones_than_five():
    """`--zones 6` is an error of usage."""
    result = CliRunner().invoke(cli, ["run", *JOB, "--network", "aws", "--zones", "6"])

    assert 2 == result.exit_code
    assert "6 is not in the range 1<=x<=5" in result.output
