"""Real memcacheds of a test's own: one, or the nodes of a cluster behind a configuration endpoint."""

import asyncio
import subprocess
import threading
from contextlib import contextmanager

from harness.network import Node, NodeList, serve
from harness.stack.memcached import find_memcached, memcached_service
from harness.system.ports import LOOPBACK, ReservedPorts
from harness.system.probes import answers_memcached, wait_until


class Cache:
    """A memcached of the test's own, on one port for all its lives."""

    def __init__(self, *flags):
        self._flags = flags
        self._ports, self._program = ReservedPorts(["cache"], {}), find_memcached()
        self.port = self._ports.numbers["cache"]
        self._process = None

    def start(self):
        """Starts it, empty."""
        command = [str(part) for part in memcached_service(self._program, self.port).command]
        command += self._flags
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        assert wait_until(lambda: answers_memcached(self.port), 30)

    def kill(self):
        """Ends it as a crash does."""
        self._process.kill()
        self._process.wait()

    def close(self):
        """Ends it for good."""
        self.kill()
        self._ports.close()

    def send(self, number):
        """Sends it a signal."""
        self._process.send_signal(number)


class Cluster:
    """Several memcacheds, and an endpoint that lists them as ElastiCache's does."""

    def __init__(self, count):
        self.caches = [Cache() for _ in range(count)]
        for cache in self.caches:
            cache.start()
        self._all = list(self.caches)
        self.listed = NodeList(self._nodes())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._call(serve(Node(LOOPBACK, 0), self.listed))
        self.port = self._server.sockets[0].getsockname()[1]

    def replace(self, index):
        """Ends a node; another one, at another address, takes its place in the list."""
        self.caches[index].kill()
        self.caches[index] = self._another()
        self._change()

    def remove(self, index):
        """Ends a node for good."""
        self.caches.pop(index).kill()
        self._change()

    def add(self):
        """Lists one more; no node ends."""
        self.caches.append(self._another())
        self._change()

    def list_as(self, version, *caches):
        """Has the list carry this version, and these nodes if there are any."""
        self._call(self._set_list(version, caches))

    @contextmanager
    def silent(self):
        """Within the block, the endpoint accepts connections and does not answer; the nodes do."""
        over = threading.Event()
        self._loop.call_soon_threadsafe(over.wait)
        try:
            yield
        finally:
            over.set()

    def close(self):
        """Ends all of them."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for cache in self._all:
            cache.close()

    def _another(self):
        cache = Cache()
        cache.start()
        self._all.append(cache)
        return cache

    def _nodes(self):
        return _addresses_of(self.caches)

    def _change(self):
        async def change():
            self.listed.change(self._nodes())

        self._call(change())

    async def _end(self):
        """Ends the endpoint with the connections that clients keep."""
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # transports are closed by the loop's next turn

    async def _set_list(self, version, caches):
        self.listed.version = version
        if caches:
            self.listed.nodes = _addresses_of(caches)

    def _call(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(20)


def _addresses_of(caches):
    return [Node(LOOPBACK, cache.port) for cache in caches]
