"""The channel: a key-value store that carries frames between ranks that cannot reach one another.

A frame's key is written once with one value; writing the same bytes again is allowed and changes nothing.
Only the few keys with which ranks find one another (lease, position, clock) change their value.
Every channel passes the same suite of tests (`tests/integration/test_channel.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Channel(Protocol):
    """What the exchange needs of a store.

    Attributes:
        max_value_bytes: The largest value that `put_many` takes; larger frames are sent in chunks.
    """

    max_value_bytes: int

    def put_many(self, values: Mapping[str, bytes]) -> None:
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
        """Removes keys; absent ones do no harm.

        Raises:
            ChannelError: The store is not reachable.
        """

    def close(self) -> None:
        """Gives connections back; the channel is not used afterwards."""
