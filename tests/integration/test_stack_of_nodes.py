"""A stack whose cache has several nodes, as `harness up --cache-nodes` starts it."""

import json
from contextlib import closing

import msgspec
import psutil
import pytest

from harness.aws.clients import clients_for
from harness.deploy.intrinsics import parse
from harness.deploy.rehearsal import DEFAULT_CACHE_NODES, check_nodes
from harness.deploy.target import rehearsal_target
from harness.deploy.template import load_template
from harness.errors import HarnessError
from harness.runs.coordinator import stop_workers
from harness.stack import start_private_stack
from training.exchange.channel.discovery import discover
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.keys import ABORT, key_of
from training.job import Job, decode_job
from training.run.results import RunFolder


def with_nodes(project, count):
    """The project's settings with so many nodes."""
    return msgspec.structs.replace(project, stack=msgspec.structs.replace(project.stack, cache_nodes=count))


@pytest.mark.parametrize("faults", [False, True])
def test_the_endpoint_lists_all_nodes(project, faults):
    """With proxies in front of them, too; each is a Memcached of its own."""
    with start_private_stack(with_nodes(project, 3), s3="moto", faults=faults) as state:
        host, _, port = state.endpoints.discovery.rpartition(":")
        listing = discover(host, int(port), timeout_s=5)
        running = [child.name() for child in psutil.Process(state.pid).children(recursive=True)]

    nodes = [f"{host}:{port}" for host, port in listing.nodes]
    assert listing.version == 1
    assert state.endpoints.memcached in nodes
    assert len(set(nodes)) == len(set(state.endpoints.cache_nodes)) == running.count("memcached") == 3
    # The harness speaks to the nodes themselves, functions to the proxies.
    assert set(nodes).isdisjoint(state.endpoints.cache_nodes) == faults


@pytest.mark.usefixtures("project")
def test_up_has_as_many_nodes_as_were_asked_for(run_harness):
    """The status names each one; another number needs another stack."""
    up = run_harness("up", "--cache-nodes", "3", "--s3", "moto", "--json")
    again, other = run_harness("up", "--cache-nodes", "3"), run_harness("up", "--cache-nodes", "2")
    status = run_harness("status")
    run_harness("down")

    assert len(json.loads(up.stdout)["endpoints"]["cache_nodes"]) == 3, up.stderr
    assert [name for name in ("memcached ", "memcached-2 ", "memcached-3 ") if name not in status.stdout] == []
    assert (again.returncode, other.returncode) == (0, 1)
    assert "the stack is up with 3 nodes of the cache, not with 2" in other.stderr


@pytest.mark.parametrize("count", ["0", "41", "x"])
def test_an_impossible_number_of_nodes_is_refused(count, run_harness):
    """ElastiCache takes 1 to 40."""
    refused = run_harness("up", "--cache-nodes", count)

    assert refused.returncode != 0
    assert "--cache-nodes" in refused.stderr


def test_elasticache_shows_the_addresses_of_the_nodes(project):
    """A cluster of as many nodes as the stack has shows theirs; the configuration endpoint is the stack's."""
    with start_private_stack(with_nodes(project, 3), s3="moto") as state:
        elasticache = rehearsal_target(state).client("elasticache")
        elasticache.create_cache_cluster(
            CacheClusterId="c", Engine="memcached", CacheNodeType="cache.t3.micro", NumCacheNodes=3
        )
        (cluster,) = elasticache.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]

    ends = [cluster["ConfigurationEndpoint"], *(node["Endpoint"] for node in cluster["CacheNodes"])]
    addresses = [f"{end['Address']}:{end['Port']}" for end in ends]
    assert addresses == [state.endpoints.discovery, *state.endpoints.cache_nodes]


def test_a_rehearsal_cannot_change_the_number_of_nodes(project):
    """The nodes of the emulation that is up are what they are: the error says how to have others."""
    with start_private_stack(with_nodes(project, 2), s3="moto") as state:
        check_nodes(state, 2)
        with pytest.raises(HarnessError, match="2 nodes of the cache") as caught:
            check_nodes(state, 3)

    assert "CacheNodes=3" in caught.value.where
    assert parse(load_template())["Parameters"]["CacheNodes"]["Default"] == DEFAULT_CACHE_NODES


def test_waiting_workers_are_told_to_stop_whichever_node_they_ask(project):
    """The harness does not know on which node functions look for the mark, so every node has it."""
    with start_private_stack(with_nodes(project, 3), s3="moto", faults=True) as state:
        s3 = clients_for(state.endpoints).s3
        s3.create_bucket(Bucket="results")
        folder = RunFolder(s3, "results", "20260101-000000-abcdef")

        host, _, port = state.endpoints.discovery.rpartition(":")
        event = {"data_bucket": "data-2", "n_features": 1, "n_workers": 2, "host": host, "port": int(port)}

        stop_workers(decode_job(event, Job), state, folder, "enough")

        with closing(MemcachedChannel(host, int(port))) as channel:
            found = channel.get_many([key_of(folder.run_id, ABORT)])
    assert list(found.values()) == [b"enough"]
