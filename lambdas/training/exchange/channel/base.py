"""The channel: a key-value store that carries frames between ranks that cannot reach one another.

A frame's key is written once with one value; writing the same bytes again is allowed and changes nothing.
Only the few keys with which ranks find one another (lease, position, clock) change their value.
Every channel passes the same suite of tests (`tests/integration/test_channel.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

# A value in one or several parts, which are stored one behind the other: a frame's header and its array need not be
# copied together first. What is put must not change while it may be put again.
Value = bytes | memoryview | tuple[bytes | memoryview, ...]
# Where a value is to be received: writable parts, filled one behind the other.
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
        """Stores values, then reads keys, in one trip; keys that are not there are left out.

        Args:
            values: What to store.
            keys: What to read.
            buffers: Where values are received without a copy, by key, if they are just as long: the landing itself
                then stands for the value in the answer. Otherwise, and for other keys, the answer holds bytes.

        Raises:
            ValueTooLarge: A value is above the limit; trying again would not help.
            ChannelError: The store is not reachable or refused a value; it is named.
        """

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Stores values under their keys, in one trip.

        Raises:
            ValueTooLarge: A value is above the limit; trying again would not help.
            ChannelError: The store is not reachable or refused a value; it is named.
        """

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that are there, in one trip; absent keys are left out.

        Raises:
            ChannelError: The store is not reachable.
        """

    def add(self, key: str, value: bytes) -> bool:
        """Stores a value unless its key is there already; tells whether it did.

        Of several ranks that add one key at the same time, exactly one is told True.

        Raises:
            ChannelError: The store is not reachable or refused the value.
        """

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Stores `new` where the key holds exactly `old`; tells whether it did.

        - the key holds `old`: `new` is stored, True
        - it holds another value, or somebody was quicker: nothing is stored, False
        - it is absent: nothing is stored, False

        Raises:
            ChannelError: The store is not reachable or refused the value.
        """

    def delete_many(self, keys: Sequence[str]) -> None:
        """Removes keys, at the latest before whatever this rank stores next; absent ones do no harm.

        Raises:
            ChannelError: The store is not reachable.
        """

    def diagnosis(self) -> str:
        """Return why values may be gone, as far as the store's own counters say; empty for nothing, or no answer."""

    def close(self) -> None:
        """Gives connections back; the channel is not used afterwards."""


def parts_of(value: Value) -> tuple[bytes | memoryview, ...]:
    """A value's parts."""
    return value if isinstance(value, tuple) else (value,)


def size_of(value: Value) -> int:
    """A value's length in bytes."""
    return sum(map(len, value)) if isinstance(value, tuple) else len(value)


def joined(values: Iterable[Value]) -> bytes:
    """Values, one behind the other, as one."""
    return b"".join(part for value in values for part in parts_of(value))


def receive_into(value: bytes, landing: ReceiveBuffer | None) -> Value:
    """A value where it is to be received, if it is just as long; else the value itself."""
    if landing is None or size_of(landing) != len(value):
        return value
    start = 0
    for part in landing:
        part[:] = value[start : start + len(part)]
        start += len(part)
    return landing


def cut(value: Value, limit: int) -> list[Value]:
    """A value in pieces of at most this many bytes, of which all but the last are full; nothing is copied."""
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
