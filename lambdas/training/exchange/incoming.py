"""A frame on its way in: one value, or several pieces of one that is larger than the channel's limit.

    target known      all pieces are asked for at once, and received into their place in the target's array
    target unknown    piece by piece: the first one's header tells how long the frame is

A frame of another length than the target's turns out when a piece does not fit; it is then read in the second way,
which says what is wrong with it.
"""

from collections.abc import Callable, Mapping

from training.exchange.channel.base import ReceiveBuffer, Value, cut, joined, size_of
from training.exchange.frame import HEADER_BYTES, Array, bytes_of, payload_length
from training.exchange.keys import piece_key

# The array in which a rank's values are to be received.
Target = Callable[[int], Array]


class Incoming:
    """One frame on its way.

    Args:
        key: Where it lies.
        limit: The largest value that the channel stores.
        target: What receives its payload, if that is known; C-contiguous.

    Attributes:
        buffers: Where its pieces are to be received, by key; empty where the target is not known.
    """

    def __init__(self, key: str, limit: int, target: Array | None = None) -> None:
        self._key = key
        self.buffers: Mapping[str, ReceiveBuffer] = {}
        self._pieces: list[Value] = []
        self._filled: set[str] = set()
        if target is not None:
            self._header, self._body = memoryview(bytearray(HEADER_BYTES)), bytes_of(target)
            pieces = cut((self._header, self._body), limit)
            self.buffers = {piece_key(key, index): piece for index, piece in enumerate(pieces)}  # type: ignore[misc]

    def wanted(self) -> list[str]:
        """The keys to look at next."""
        if self.buffers:
            return [key for key in self.buffers if key not in self._filled]
        return [piece_key(self._key, len(self._pieces))]

    def take(self, found: Mapping[str, Value]) -> bool:
        """Takes what came of it; tells whether anything did."""
        came = False
        for key in self.wanted():
            value = found.get(key)
            if value is None:
                continue
            came = True
            if not self.buffers:
                self._pieces.append(value)
            elif value is self.buffers[key]:
                self._filled.add(key)
            else:
                self.buffers, self._filled = {}, set()
                break
        return came

    @property
    def has_more(self) -> bool:
        """Whether a part came, so that the next is there too, or will be at once."""
        return bool(self._pieces)

    def whole(self) -> tuple[bytes | memoryview, bytes | memoryview] | None:
        """Header and payload, once all has come.

        Raises:
            DamagedFrame: These are not the first bytes of a frame.
        """
        if self.buffers:
            return (self._header, self._body) if len(self._filled) == len(self.buffers) else None
        if not self._pieces:
            return None
        length = HEADER_BYTES + payload_length(joined(self._pieces[:1]))
        if sum(map(size_of, self._pieces)) < length:
            return None
        frame = memoryview(joined(self._pieces))
        return frame[:HEADER_BYTES], frame[HEADER_BYTES:]

    def begin_anew(self) -> None:
        """Forgets what came: it was damaged, or may have been put again meanwhile."""
        self._pieces, self._filled = [], set()
