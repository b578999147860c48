"""The channel: a key-value store that carries frames between ranks that cannot reach one another.

A frame's key is written once with one value; writing the same bytes again is allowed and changes nothing.
Only the few keys by which ranks find one another (lease, position, clock) change their value.
Every channel passes the same suite of tests (`tests/integration/test_channel.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

# A value in one or several parts, which are stored one behind the other: a frame's header and its array need not be
# copied together first. A stored value must not change as long as it may be stored again.
Value = bytes | memoryview | tuple[bytes | memoryview, ...]
# Where a value is received: writable parts, filled one behind the other.
ReceiveBuffer = tuple[memoryview, ...]


class Channel(Protocol):
    """What the exchange needs of a store.

    Attributes:
        max_value_bytes: The largest value that is stored; larger frames are sent in chunks.
    """

    max_value_bytes: int

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Store values, then read keys, in one round trip; absent keys are left out.

        Args:
            values: What to store.
            keys: What to read.
            buffers: Where values are received without a copy, by key, if they have the buffer's length. The answer
                then holds the buffer itself; otherwise, and for all other keys, it holds bytes.

        Raises:
            ValueTooLarge: A value is above the limit; trying again would not help.
            ChannelError: The store is not reachable or refused a value; it is named.
        """

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Store values under their keys, in one round trip.

        Raises:
            ValueTooLarge: A value is above the limit; trying again would not help.
            ChannelError: The store is not reachable or refused a value; it is named.
        """

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values of some keys, in one round trip; absent keys are left out.

        Raises:
            ChannelError: The store is not reachable.
        """

    def add(self, key: str, value: bytes) -> bool:
        """Store a value unless its key is there already; return whether it was stored.

        Of several ranks that add one key at the same time, exactly one gets True.

        Raises:
            ChannelError: The store is not reachable or refused the value.
        """

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Store `new` if the key holds exactly `old`; return whether it was stored.

        - the key holds `old`: `new` is stored, True
        - it holds another value, or another rank was faster: nothing is stored, False
        - it is absent: nothing is stored, False

        Raises:
            ChannelError: The store is not reachable or refused the value.
        """

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove keys, at the latest before the next store of this rank; absent ones are ignored.

        Raises:
            ChannelError: The store is not reachable.
        """

    def refresh(self) -> None:
        """Look whether the store's nodes have changed, and use the new ones from now on; an error changes nothing.

        Keys may move to other nodes: to this rank, what they held is lost, as when the store was restarted.
        """

    def diagnosis(self) -> str:
        """Return why values may be gone according to the store's own counters; empty for no reason, or no answer."""

    def close(self) -> None:
        """Close the connections; the channel is not used afterwards."""


def parts_of(value: Value) -> tuple[bytes | memoryview, ...]:
    """Return a value's parts."""
    return value if isinstance(value, tuple) else (value,)


def size_of(value: Value) -> int:
    """Return a value's length in bytes."""
    return sum(map(len, value)) if isinstance(value, tuple) else len(value)


def joined(values: Iterable[Value]) -> bytes:
    """Return values, one behind the other, as one."""
    return b"".join(part for value in values for part in parts_of(value))


def receive_into(value: bytes, buffer: ReceiveBuffer | None) -> Value:
    """Copy a value into its buffer, if that has its length; return where the value is now."""
    if buffer is None or size_of(buffer) != len(value):
        return value
    start = 0
    for part in buffer:
        part[:] = value[start : start + len(part)]
        start += len(part)
    return buffer


def cut(value: Value, limit: int) -> list[Value]:
    """Return a value in pieces of at most this many bytes, all but the last of them full; nothing is copied."""
    pieces: list[Value] = []
    piece: list[bytes | memoryview] = []
    room = limit
    for part in parts_of(value):
        rest = memoryview(part)
        while rest:
            piece.append(rest[:room])
            room -= len(piece[-1])
            rest = rest[len(piece[-1]) :]
            if not room:
                pieces.append(tuple(piece))
                piece, room = [], limit
    return [*pieces, tuple(piece)] if piece else pieces
