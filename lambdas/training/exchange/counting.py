"""A channel that counts the bytes of the values that pass through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.exchange.channel.base import Channel, ReceiveBuffer, Value, size_of


@dataclass
class BytesMoved:
    """Bytes of values, without keys and the protocol's own.

    Attributes:
        sent: Stored in the channel.
        received: Read from it.
    """

    sent: int = 0
    received: int = 0


class CountingChannel:
    """Passes everything on to another channel, and counts.

    Args:
        channel: The other channel.
        moved: What is counted up.
    """

    def __init__(self, channel: Channel, moved: BytesMoved) -> None:
        self._channel, self._moved = channel, moved
        self.max_value_bytes = channel.max_value_bytes
        # What is called once per run, or moves no values, needs no detour.
        self.delete_many, self.diagnosis, self.close = channel.delete_many, channel.diagnosis, channel.close
        self.refresh = channel.refresh

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Store values, then read keys; see `Channel.round_trip`."""
        found = self._channel.round_trip(values, keys, buffers)
        if values:
            self._moved.sent += sum(map(size_of, values.values()))
        if found:
            self._moved.received += sum(map(size_of, found.values()))
        return found

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Store values; see `Channel.put_many`."""
        self._channel.put_many(values)
        self._moved.sent += sum(map(size_of, values.values()))

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that are there; see `Channel.get_many`."""
        found = self._channel.get_many(keys)
        self._moved.received += sum(map(len, found.values()))
        return found

    def add(self, key: str, value: bytes) -> bool:
        """Store a value unless its key is there; see `Channel.add`."""
        stored = self._channel.add(key, value)
        self._moved.sent += len(value)
        return stored

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Store a value in place of a known one; see `Channel.replace_if`."""
        stored = self._channel.replace_if(key, old, new)
        self._moved.sent += len(new)
        return stored
