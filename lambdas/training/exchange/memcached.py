"""The Memcached channel: ElastiCache on AWS, any memcached elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pymemcache.client.base import Client
from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.exceptions import MemcacheError

from training.errors import ChannelError
from training.exchange.discovery import discover

# Longer than any run: a chain of functions may take hours, and what a finished run leaves goes by itself.
TTL_S = 6 * 3600
# Memcached counts key, item header and suffix against its item size.
ITEM_OVERHEAD_BYTES = 512


class MemcachedChannel:
    """Frames in Memcached; keys are spread over the cluster's nodes by rendezvous hashing.

    Args:
        host: The configuration endpoint, or a plain Memcached node.
        port: Its port.
        timeout_s: Limit for connecting and for every answer.

    Raises:
        ChannelError: The endpoint or a node is not reachable.
    """

    def __init__(self, host: str, port: int, timeout_s: float = 10.0) -> None:
        self._clients: dict[str, Client] = {}
        self._ring = RendezvousHash()
        for node in discover(host, port, timeout_s):
            name = f"{node[0]}:{node[1]}"
            self._ring.add_node(name)
            # A store without a reply hides refusals (too large, out of memory); every reply is read.
            self._clients[name] = Client(
                node, connect_timeout=timeout_s, timeout=timeout_s, no_delay=True, default_noreply=False
            )
        self.max_value_bytes = min(map(self._item_limit, self._clients)) - ITEM_OVERHEAD_BYTES

    def put(self, key: str, value: bytes) -> None:
        """Stores a value; see `Channel.put`."""
        name = self._ring.get_node(key)
        with _translated(name):
            stored = self._clients[name].set(key, value, expire=TTL_S)
        if not stored:
            raise ChannelError(f"Memcached at {name} did not store {key} ({len(value)} bytes)")

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there; see `Channel.get_many`."""
        if len(self._clients) == 1:
            by_node = {next(iter(self._clients)): list(keys)}
        else:
            by_node = {}
            for key in keys:
                by_node.setdefault(self._ring.get_node(key), []).append(key)
        found: dict[str, bytes] = {}
        for name, its_keys in by_node.items():
            with _translated(name):
                found.update(self._clients[name].get_many(its_keys))
        return found

    def delete_many(self, keys: Sequence[str]) -> None:
        """Removes keys; see `Channel.delete_many`."""
        for key in keys:
            name = self._ring.get_node(key)
            with _translated(name):
                self._clients[name].delete(key, noreply=True)

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            client.close()

    def _item_limit(self, name: str) -> int:
        with _translated(name):
            return int(self._clients[name].stats("settings")[b"item_size_max"])


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (MemcacheError, OSError) as error:
        raise ChannelError(f"Memcached at {name}: {error or type(error).__name__}") from error
