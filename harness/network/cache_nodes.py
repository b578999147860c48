"""The nodes of the cache behind the proxies, and what clients are told of them.

    client -> configuration endpoint: version 1, nodes a:1 b:1 c:1
    client -> proxy of b:1 -> Memcached of node 2

A node that is replaced has another address afterwards, and one that is lost has none until the run ends that has
lost it: the list's version rises each time.
What happens to a node happens to what clients see of it; its Memcached stays where it is, behind the proxy.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from harness.errors import HarnessError
from harness.faults.plan import Fault
from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node, NodeList
from harness.network.lines import lasts
from harness.network.memcached_proxy import MemcachedProxy
from harness.network.remote_cache import RemoteCache

logger = logging.getLogger(__name__)


class Front(Protocol):
    """What clients of a node connect to."""

    @property
    def address(self) -> Node:
        """Where it listens."""

    def close(self) -> None:
        """Refuse new connections and break the existing ones."""

    def moving(self) -> AbstractAsyncContextManager[None]:
        """Break all connections, and accept new ones at another port after the block."""


@dataclass
class CacheNode:
    """One node.

    Attributes:
        number: Its number, from 1; another node in its place has the same.
        host: The host by which clients are told of it.
        cache: Its Memcached.
        front: What its clients connect to.
        proxy: The proxy that injects faults; None where none are injected.
    """

    number: int
    host: str
    cache: CacheProcess | RemoteCache
    front: Front
    proxy: MemcachedProxy | None = None


class CacheNodes:
    """All nodes of the cache.

    Attributes:
        nodes: The nodes that there are.
        count: How many there were at the start.
        listed: What the configuration endpoint tells clients.

    Args:
        nodes: The nodes at the start, which listen already.
    """

    def __init__(self, nodes: Sequence[CacheNode]) -> None:
        self.nodes, self.count = list(nodes), len(nodes)
        self._lost: dict[str, list[CacheNode]] = {}
        self.listed = NodeList(self._addresses())
        self._tasks: set[asyncio.Task[None]] = set()
        for node in self.nodes:
            if node.proxy is not None:
                node.proxy.inject_everywhere = self.inject

    def inject(self, fault: Fault, run_id: str, here: MemcachedProxy) -> bool:
        """Start a fault of the cache on every node that it is about, or on all.

        Args:
            fault: The fault.
            run_id: The run whose plan it is of.
            here: The proxy that has seen the put at which it is due.

        Returns:
            Whether it is about the node of that proxy.
        """
        if lasts(fault):
            # The connections of all nodes are known together.
            here.inject(fault, run_id)
            return True
        hit = [node for node in self.nodes if fault.node in (None, node.number)]
        for node in hit:
            if fault.action == "replace":
                self._begin(self._replace(node, fault.down_s))
            elif (fault.action, fault.target) == ("lose", "memcached"):
                self._begin(self._lose(node, run_id))
            elif node.proxy is not None:
                node.proxy.inject(fault, run_id)
        return any(node.proxy is here for node in hit)

    async def lift(self, run_id: str) -> None:
        """Have the nodes come back that a run has lost, empty and at other addresses."""
        for node in self._lost.pop(run_id, []):
            async with self._failures_logged(node), node.front.moving():
                pass
            self.nodes = sorted([*self.nodes, node], key=lambda one: one.number)
            self._list(f"node {node.number} of the cache is back")

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        # The fault outlives the connection that triggered it.
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, node: CacheNode, down_s: float) -> None:
        async with self._failures_logged(node), node.front.moving():
            await node.cache.restart(down_s)
        self._list(f"node {node.number} of the cache is replaced")

    async def _lose(self, node: CacheNode, run_id: str) -> None:
        self.nodes.remove(node)
        self._lost.setdefault(run_id, []).append(node)
        node.front.close()
        self._list(f"node {node.number} of the cache is gone")
        async with self._failures_logged(node):
            await node.cache.restart(0.0)  # nothing leads to it; what it held is gone

    def _list(self, why: str) -> None:
        self.listed.change(self._addresses())
        logger.info("%s: version %d, %s", why, self.listed.version, self.listed.nodes)

    @asynccontextmanager
    async def _failures_logged(self, node: CacheNode) -> AsyncIterator[None]:
        try:
            yield
        except (HarnessError, OSError):
            logger.exception("node %d of the cache", node.number)
            raise

    def _addresses(self) -> list[Node]:
        return [Node(node.host, node.front.address.port) for node in self.nodes]
