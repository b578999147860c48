"""The floor of the exchange against a real memcached, and a memcached that has no connection left."""

import os
import socket
import subprocess
import uuid
from contextlib import ExitStack, closing

import pytest

from benchmarks.bare_memcached import BareMemcached, steps_of
from harness.stack.memcached import find_memcached
from harness.system.ports import ReservedPorts
from harness.system.probes import answers_memcached, wait_until
from training.errors import ChannelError
from training.exchange.channel.memcached import MemcachedChannel


@pytest.mark.parametrize("collective", ["all_gather", "reduce", "reduce_scatter"])
def test_bare_ranks_move_the_bytes_of_a_collective(memcached_address, collective):
    """Every rank gets what the others have put, in pieces where a value is larger than Memcached takes."""
    host, _, port = memcached_address.rpartition(":")
    prefix = uuid.uuid4().hex
    floors = [
        BareMemcached(host, int(port), prefix, steps_of(collective, rank, 3, 3000, 60), limit=1000) for rank in range(3)
    ]
    try:
        for floor in floors:
            floor.put_all()
        for floor in floors:
            floor.run()
    finally:
        for floor in floors:
            floor.close()

    key = f"{prefix}/part/1/0" if collective != "reduce_scatter" else f"{prefix}/part/1/0/0"
    with closing(MemcachedChannel(host, int(port))) as channel:
        assert {key: bytes(1000)} == channel.get_many([key])


@pytest.fixture
def small_memcached():
    """Port of a memcached that takes few connections."""
    ports = ReservedPorts(["cache"], {})
    port = ports.numbers["cache"]
    command = [find_memcached(), "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-c", "64", "-t", "1"]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([*map(str, command), *user], stderr=subprocess.DEVNULL) as process:
        try:
            assert wait_until(lambda: answers_memcached(port), 30)
            yield port
        finally:
            process.kill()
            ports.close()


def test_a_memcached_without_connections_left_is_told_as_that(small_memcached):
    """When the first connection is refused, and when a later one is: a new connection of a channel that was closed."""
    with ExitStack() as held:
        channel = held.enter_context(closing(MemcachedChannel("127.0.0.1", small_memcached)))
        channel.put_many({"key": b"value"})
        assert wait_until(lambda: not _connected(held, small_memcached), 30)

        with pytest.raises(ChannelError, match="takes no more connections"):
            MemcachedChannel("127.0.0.1", small_memcached)
        channel.close()  # its next request needs a new connection
        assert wait_until(lambda: _connected(held, small_memcached), 30), "memcached never freed the connection"
        assert wait_until(lambda: not _connected(held, small_memcached), 30)
        with pytest.raises(ChannelError, match="takes no more connections"):
            channel.get_many(["key"])


def _connected(held, port):
    """Take one more connection for good; return whether there was one."""
    connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
    connection.sendall(b"version\r\n")
    try:
        return connection.recv(100).startswith(b"VERSION")
    except ConnectionError:
        return False
