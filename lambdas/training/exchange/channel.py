"""The channel: a key-value store that carries frames between ranks that cannot reach one another.

Keys are written once with one value; writing the same bytes again is allowed and changes nothing.
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
            ChannelError: The store is not reachable or refused a value; it is named.
        """

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that are there, in one trip; absent keys are left out.

        Raises:
            ChannelError: The store is not reachable.
        """

    def delete_many(self, keys: Sequence[str]) -> None:
        """Removes keys; absent ones do no harm.

        Raises:
            ChannelError: The store is not reachable.
        """

    def close(self) -> None:
        """Gives connections back; the channel is not used afterwards."""
