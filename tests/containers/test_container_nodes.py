"""A cache of three nodes in containers: replaced and lost under a run, and deployed in a rehearsal."""

import json
from functools import partial

import msgspec
import pytest

from harness.deploy.rehearsal import standing_rehearsal
from harness.settings import load_settings
from harness.stack import start_private_stack
from tests.support.fault_jobs import DATA, JOBS, N_WORKERS
from tests.support.rehearsals import make_project, run_harness, stop_project
from tests.support.running import run_job

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("rehearsal")]

NODES = 3
JOB = {"data": DATA, "n_workers": N_WORKERS, **JOBS["admm"]}


@pytest.mark.usefixtures("engine")
def test_nodes_are_replaced_and_lost_under_a_run(settings):
    """Every node has a container, and the network lists them: a run ends with the same bits, whichever goes."""
    several = msgspec.structs.replace(settings, stack=msgspec.structs.replace(settings.stack, cache_nodes=NODES))
    with start_private_stack(several, s3="moto", mode="container", faults=True) as stack:
        faults = ["replace memcached node=2 round=4", "lose memcached node=3 round=8"]
        calm, hit, again = (run_job(stack, several, faults=some, **JOB) for some in ([], faults, faults[:1]))

    assert {"memcached", "memcached-2", "memcached-3", "network"} <= stack.containers.keys()
    assert calm.model["sha256"] == hit.model["sha256"] == again.model["sha256"]
    assert [1, 1, 1] == [event["times"] for run in (hit, again) for event in run.events if event["event"] == "fault"]


def test_a_deployment_has_as_many_nodes_as_its_parameter_says(engine, tmp_path):
    """The emulation starts that many, ElastiCache shows them, and a run spreads its keys over them."""
    root = make_project(engine, tmp_path / "project")
    harness = partial(run_harness, root)
    try:
        harness("deploy", "--rehearse", "--yes", "--parameter", f"CacheNodes={NODES}")
        target = standing_rehearsal(load_settings(root))
        (cluster,) = target.client("elasticache").describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
        summary = json.loads(harness("run", "--target", "rehearsal", "--n-workers", "2", "--json").stdout)
        refused = harness("deploy", "--rehearse", "--yes", "--parameter", "CacheNodes=2", code=1)
        harness("destroy", "--rehearse", "--yes", "--empty")
    finally:
        stop_project(root)

    addresses = {(node["Endpoint"]["Address"], node["Endpoint"]["Port"]) for node in cluster["CacheNodes"]}
    assert len(addresses) == NODES
    assert summary["status"] == "succeeded"
    assert "the emulation is up with 3 nodes of the cache" in refused.stderr
