"""The Memcached channel: ElastiCache on AWS, any memcached elsewhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pymemcache.client.base import Client
from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.exceptions import MemcacheError

from training.errors import ChannelError, ValueTooLarge
from training.exchange.discovery import discover

# Longer than any run: a chain of functions may take hours, and what a finished run leaves goes by itself.
TTL_S = 6 * 3600
# Memcached counts key, item header and suffix against its item size.
ITEM_OVERHEAD_BYTES = 512
# A node that does not answer within this time is taken for cut off; the recovery layer connects anew.
TIMEOUT_S = 3.0
_TOO_LARGE = "object too large for cache"


class MemcachedChannel:
    """Frames in Memcached; keys are spread over the cluster's nodes by rendezvous hashing.

    Args:
        host: The configuration endpoint, or a plain Memcached node.
        port: Its port.
        timeout_s: Limit for connecting and for every answer.

    Raises:
        ChannelError: The endpoint or a node is not reachable.
    """

    def __init__(self, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
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

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Stores values; see `Channel.put_many`."""
        for name, keys in self._by_node(values).items():
            with _translated(name, storing=f"storing {keys[0]} ({len(values[keys[0]])} bytes): "):
                refused = self._clients[name].set_many({key: values[key] for key in keys}, expire=TTL_S)
            if refused:
                sizes = ", ".join(f"{key} ({len(values[key])} bytes)" for key in refused)
                raise ChannelError(f"Memcached at {name} did not store {sizes}")

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there; see `Channel.get_many`."""
        found: dict[str, bytes] = {}
        for name, its_keys in self._by_node(keys).items():
            with _translated(name):
                found.update(self._clients[name].get_many(its_keys))
        return found

    def add(self, key: str, value: bytes) -> bool:
        """Stores a value unless its key is there; see `Channel.add`."""
        ((name, _),) = self._by_node([key]).items()
        with _translated(name, storing=f"storing {key} ({len(value)} bytes): "):
            return bool(self._clients[name].add(key, value, expire=TTL_S, noreply=False))

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Stores a value in place of a known one; see `Channel.replace_if`."""
        ((name, _),) = self._by_node([key]).items()
        with _translated(name, storing=f"storing {key} ({len(new)} bytes): "):
            found, mark = self._clients[name].gets(key)
            if found != old:
                return False
            return bool(self._clients[name].cas(key, new, mark, expire=TTL_S, noreply=False))

    def delete_many(self, keys: Sequence[str]) -> None:
        """Removes keys; see `Channel.delete_many`."""
        for name, its_keys in self._by_node(keys).items():
            with _translated(name):
                # Nothing depends on the reply: what is not deleted expires.
                self._clients[name].delete_many(its_keys, noreply=True)

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            client.close()

    def _by_node(self, keys: Iterable[str]) -> dict[str, list[str]]:
        if len(self._clients) == 1:
            return {name: listed for name in self._clients if (listed := list(keys))}
        by_node: dict[str, list[str]] = {}
        for key in keys:
            by_node.setdefault(self._ring.get_node(key), []).append(key)
        return by_node

    def _item_limit(self, name: str) -> int:
        with _translated(name):
            return int(self._clients[name].stats("settings")[b"item_size_max"])


@contextmanager
def _translated(name: str, storing: str = "") -> Iterator[None]:
    try:
        yield
    except (MemcacheError, OSError) as error:
        kind = ValueTooLarge if _TOO_LARGE in str(error) else ChannelError
        raise kind(f"Memcached at {name}: {storing}{str(error) or type(error).__name__}") from error
