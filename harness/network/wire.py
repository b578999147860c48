"""Parsing of Memcached traffic: which rank's put a store is, and where one reply ends."""

import re
import struct
from collections.abc import Container
from typing import NamedTuple

from harness.faults.injections import ObservedPut

# The start of a frame, as drawn in training/exchange/frame.py: the magic first, the attempt at byte 20.
FRAME_MAGIC = b"LEC2"
_ATTEMPT = struct.Struct("<I")
_ATTEMPT_AT = 20
HEAD_BYTES = _ATTEMPT_AT + _ATTEMPT.size

STORES = frozenset({b"set", b"add", b"replace", b"append", b"prepend", b"cas"})
# Frames after all ranks went back have another generation's name in front.
_PLACE = re.compile(r"(back\.\d+/)?(?P<round>\d+)/(?P<step>\d+)/(?P<rank>\d+)(/\d+){0,2}")

OUT_OF_MEMORY = b"SERVER_ERROR out of memory storing object\r\n"


class Store(NamedTuple):
    """The head of a store command.

    Attributes:
        key: The key.
        length: Length of the value, bytes, without the line end after it.
        noreply: Whether the client expects no reply.
    """

    key: str
    length: int
    noreply: bool


def read_store(line: bytes) -> Store | None:
    """Return the head of a store command; None for any other command, and for one that Memcached would reject."""
    words = line.split()
    # set KEY FLAGS EXPIRY LENGTH [CAS] [noreply]
    if len(words) < 5 or words[0] not in STORES or not words[4].isdigit():
        return None
    return Store(words[1].decode(errors="replace"), int(words[4]), words[-1] == b"noreply")


def wants_reply(line: bytes) -> bool:
    """Return whether Memcached replies to this command, which is not a store."""
    words = line.split()
    return bool(words) and words[0] != b"quit" and (words[-1] != b"noreply" or words[0].startswith(b"g"))


def run_of(key: str, runs: Container[str]) -> str | None:
    """Return the run that a key belongs to: its first part, or its second one after a prefix; None if it has none."""
    return next((part for part in key.split("/", 2)[:2] if part in runs), None)


def read_put(key: str, run_id: str, head: bytes) -> ObservedPut | None:
    """Return the rank, round and step that a frame belongs to; None if the key is not a frame's.

    Args:
        key: `[<prefix>/]<run_id>/[back.<generation>/]<round>/<step>/<rank>[/<chunk>]`.
        run_id: The run.
        head: The first bytes of the value; a later piece of a frame has no header.
    """
    _, _, rest = f"/{key}".partition(f"/{run_id}/")
    place = _PLACE.fullmatch(rest)
    if place is None:
        return None
    attempt = None
    if head.startswith(FRAME_MAGIC) and len(head) >= HEAD_BYTES:
        (attempt,) = _ATTEMPT.unpack_from(head, _ATTEMPT_AT)
    return ObservedPut(int(place["rank"]), int(place["round"]), int(place["step"]), key, attempt)


class ReplyCounter:
    """Counts complete replies in the stream of Memcached's answers, however it is divided into chunks.

    A reply is one line, except that data follows the line of `VALUE` and `CONFIG`, and that `END` follows `STAT` lines,
    values and a configuration.
    """

    def __init__(self) -> None:
        self._line = b""
        self._data_left = 0

    def feed(self, chunk: bytes) -> int:
        """Return how many replies end within this chunk."""
        ended, at = 0, 0
        while at < len(chunk):
            if self._data_left:
                passed = min(self._data_left, len(chunk) - at)
                self._data_left -= passed
                at += passed
                continue
            end = chunk.find(b"\n", at)
            if end < 0:
                self._line += chunk[at:]
                break
            ended += self._ends_reply(self._line + chunk[at : end + 1])
            self._line, at = b"", end + 1
        return ended

    def _ends_reply(self, line: bytes) -> bool:
        words = line.split()
        if not words:
            return False
        if words[0] in {b"VALUE", b"CONFIG"} and len(words) >= 4:
            self._data_left = int(words[3]) + 2
            return False
        return words[0] != b"STAT"
