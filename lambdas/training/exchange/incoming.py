"""A frame on its way in: one value, or several pieces of one that is larger than the channel's limit.

    target known      all pieces are requested at once and received in place, in the target's array
    target unknown    piece by piece: the first one's header says how long the frame is

A frame of another length than the target's shows when a piece does not fit; it is then read in the second way,
which reports what is wrong with it.
"""

from collections.abc import Callable, Mapping

from training.exchange.channel.base import ReceiveBuffer, Value, cut, joined, size_of
from training.exchange.frame import HEADER_BYTES, Array, bytes_of, payload_length
from training.exchange.keys import piece_key

# Returns the array in which a rank's values are received.
Target = Callable[[int], Array]


class Incoming:
    """One frame on its way.

    Args:
        key: Its key.
        limit: The largest value that the channel stores.
        target: The array that receives its payload, if that is known; C-contiguous.

    Attributes:
        buffers: Where its pieces are received, by key; empty if the target is not known.
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
        """Return the keys to poll next."""
        if self.buffers:
            return [key for key in self.buffers if key not in self._filled]
        return [piece_key(self._key, len(self._pieces))]

    def take(self, found: Mapping[str, Value]) -> bool:
        """Take this frame's pieces from what a poll found; return whether there were any."""
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
        """Whether a piece came, so that the next one is there too, or will be at once."""
        return bool(self._pieces)

    def whole(self) -> tuple[bytes | memoryview, bytes | memoryview] | None:
        """Return header and payload once all pieces are there, else None.

        Raises:
            DamagedFrame: The first piece does not begin as a frame does.
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

    def start_over(self) -> None:
        """Forget all pieces: one was damaged, or the sender may have stored the frame again."""
        self._pieces, self._filled = [], set()


def polls_of(incoming: Mapping[int, Incoming]) -> tuple[list[str], dict[str, ReceiveBuffer]]:
    """Return the keys to poll for what is missing, and where their values are received."""
    keys = [key for frame in incoming.values() for key in frame.wanted()]
    buffers: dict[str, ReceiveBuffer] = {}
    for frame in incoming.values():
        buffers |= frame.buffers
    return keys, buffers
