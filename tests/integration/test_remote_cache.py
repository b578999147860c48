"""A Memcached that its own container starts again: here a shell does, as in the container."""

import asyncio
import shlex
import signal
import subprocess
import time
from contextlib import closing, suppress

import psutil
import pytest
from pymemcache.client.base import Client

from harness.errors import HarnessError
from harness.network.discovery import Node
from harness.network.remote_cache import RemoteCache
from harness.stack.memcached import find_memcached, memcached_service
from harness.system.ports import ReservedPorts


def memcached(*options):
    """The command of a Memcached that is started again whenever it ends, and its address."""
    ports = ReservedPorts(["cache"], {})
    command = shlex.join([*memcached_service(find_memcached(), ports.numbers["cache"]).command, *options])
    shell = subprocess.Popen(["sh", "-c", f"while :; do {command}; sleep 0.2; done"])
    return shell, Node("127.0.0.1", ports.numbers["cache"]), ports


@pytest.fixture
def cache():
    """One that ends when it is told to."""
    shell, node, ports = memcached("-A")
    with closing(ports):
        yield node
        end(shell)


@pytest.fixture
def lasting():
    """One that does not."""
    shell, node, ports = memcached()
    with closing(ports):
        yield node
        end(shell)


def end(shell):
    """Kill the shell and its Memcached, which also ends by itself when the shell does."""
    # A shell that is stopped starts no other one.
    shell.send_signal(signal.SIGSTOP)
    children = psutil.Process(shell.pid).children(recursive=True)
    shell.kill()
    shell.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=10)


def test_it_comes_back_empty_and_not_before_its_time(cache):
    """The fault `restart`: what was stored is lost, and the one that answers afterwards is another process."""
    remote = RemoteCache(cache)
    asyncio.run(remote.start())
    with closing(Client(cache)) as client:
        client.set("a", b"1", noreply=False)
        before = client.stats()[b"pid"]

    begun = time.monotonic()
    asyncio.run(remote.restart(0.5))

    assert time.monotonic() - begun >= 0.5
    with closing(Client(cache)) as client:
        assert client.get("a") is None
        assert before != client.stats()[b"pid"]


def test_one_that_refuses_to_end_is_told(lasting):
    """Without its option -A, Memcached says so; nobody waits for a restart that never comes."""
    remote = RemoteCache(lasting)
    asyncio.run(remote.start())

    with pytest.raises(HarnessError, match="did not end") as caught:
        asyncio.run(remote.restart(0.0))

    assert f"{lasting.host}:{lasting.port}" == caught.value.where
