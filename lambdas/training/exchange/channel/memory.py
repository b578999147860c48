"""The in-memory channel: all ranks in one process, for simulations and tests; it keeps the whole interface."""

import threading
from collections.abc import Mapping, Sequence

from training.errors import ValueTooLarge
from training.exchange.channel.base import ReceiveBuffer, Value, joined, receive_into, size_of


class MemoryChannel:
    """A dictionary behind the channel's interface; ranks share one instance from several threads.

    Args:
        max_value_bytes: The item limit, as a real store has one.
    """

    def __init__(self, max_value_bytes: int = 1 << 20) -> None:
        self.max_value_bytes = max_value_bytes
        self._values: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Store values, then read keys; see `Channel.round_trip`."""
        if values:
            self.put_many(values)
        if not keys:
            return {}
        buffers = buffers or {}
        return {key: receive_into(value, buffers.get(key)) for key, value in self.get_many(keys).items()}

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Store values; see `Channel.put_many`."""
        for key, value in values.items():
            self._check(key, value)
            self._values[key] = joined([value])

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that are there; see `Channel.get_many`."""
        return {key: value for key in keys if (value := self._values.get(key)) is not None}

    def add(self, key: str, value: bytes) -> bool:
        """Store a value unless its key is there; see `Channel.add`."""
        self._check(key, value)
        with self._lock:
            if key in self._values:
                return False
            self._values[key] = value
            return True

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Store a value in place of a known one; see `Channel.replace_if`."""
        self._check(key, new)
        with self._lock:
            if self._values.get(key) != old:
                return False
            self._values[key] = new
            return True

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove keys; see `Channel.delete_many`."""
        for key in keys:
            self._values.pop(key, None)

    def all_keys(self) -> list[str]:
        """Return the keys that are there now."""
        return list(self._values)

    def refresh(self) -> None:
        """Do nothing: there are no nodes."""

    def diagnosis(self) -> str:
        """Return nothing: no value is lost by itself here."""
        return ""

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _check(self, key: str, value: Value) -> None:
        if size_of(value) > self.max_value_bytes:
            raise ValueTooLarge(f"value of {key} has {size_of(value)} bytes, the limit is {self.max_value_bytes}")
