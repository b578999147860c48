"""The floor of the exchange: move the bytes of a collective through a bare socket.

Everything is prepared in advance: requests as bytes, and buffers of the exact length of the responses. The measured
time covers only the system calls, the kernel's copies and Memcached itself; in `BareRounds` also the wait for the
other ranks.

    collective       the transfers of rank r of w for parts of m bytes
    all_gather       put m; get w - 1 times m
    reduce           put m, get m; rank 0: get w - 1 times m, put m
    reduce_scatter   put w - 1 times m/w, get as much; put m/w, get w - 1 times m/w
"""

import itertools
import socket
import time
from dataclasses import dataclass
from typing import Literal

from benchmarks.figure import BenchmarkError

TIMEOUT_S = 30.0
_TTL_S = 3600
_STORED, _END = b"STORED\r\n", b"END\r\n"
# The simplest wait: a few polls at once, then increasing pauses.
_EAGER_LOOKS, _FIRST_PAUSE_S, _PAUSE_GROWTH = 3, 50e-6, 1.5


@dataclass(frozen=True)
class Step:
    """One round trip that puts or gets values.

    Attributes:
        verb: Whether it puts or gets.
        keys: The keys of the values.
        value_bytes: The length of each value.
    """

    verb: Literal["put", "get"]
    keys: tuple[str, ...]
    value_bytes: int


def steps_of(collective: str, rank: int, world_size: int, part_bytes: int, header_bytes: int) -> list[Step]:
    """Return the round trips of one rank in one all-reduce.

    Args:
        collective: `all_gather`, `reduce` or `reduce_scatter`.
        rank: The rank.
        world_size: The number of ranks.
        part_bytes: The size of one rank's part.
        header_bytes: The size of a frame's header.

    Raises:
        BenchmarkError: There is no floor for such a collective.
    """
    others = [other for other in range(world_size) if other != rank]
    frame = part_bytes + header_bytes
    if collective == "all_gather":
        parts = tuple(f"part/{other}" for other in others)
        return [Step("put", (f"part/{rank}",), frame), Step("get", parts, frame)]
    if collective == "reduce":
        if rank == 0:
            parts = tuple(f"part/{other}" for other in others)
            return [Step("get", parts, frame), Step("put", ("merged",), frame)]
        return [Step("put", (f"part/{rank}",), frame), Step("get", ("merged",), frame)]
    if collective == "reduce_scatter":
        piece = part_bytes // world_size + header_bytes
        return [
            Step("put", tuple(f"part/{rank}/{other}" for other in others), piece),
            Step("get", tuple(f"part/{other}/{rank}" for other in others), piece),
            Step("put", (f"merged/{rank}",), piece),
            Step("get", tuple(f"merged/{other}" for other in others), piece),
        ]
    raise BenchmarkError(f"no floor is known for the collective {collective}")


@dataclass(frozen=True)
class _Trip:
    """A prepared request, and a buffer of exactly the length of its response.

    Attributes:
        request: All bytes to send.
        answer: The buffer for the response.
        end: The last bytes of a successful response.
    """

    request: bytes
    answer: bytearray
    end: bytes


class BareMemcached:
    """The steps of one rank on its own connection.

    Args:
        host: Memcached's host.
        port: Its port.
        prefix: The prefix of all keys.
        steps: The steps.
        limit: Memcached's maximum value size in bytes; longer values are split into pieces.
    """

    def __init__(self, host: str, port: int, prefix: str, steps: list[Step], limit: int) -> None:
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = [(step.verb, _trip(prefix, step, limit)) for step in steps]
        self._puts = [trip for verb, trip in trips if verb == "put"]
        self._all = [trip for _, trip in trips]

    def put_all(self) -> None:
        """Put all values of this rank, so that the other ranks can get them."""
        for trip in self._puts:
            self._take(trip)

    def run(self) -> None:
        """Make all round trips once.

        Raises:
            BenchmarkError: A response is not the expected one.
        """
        for trip in self._all:
            self._take(trip)

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def _take(self, trip: _Trip) -> None:
        self._socket.sendall(trip.request)
        view, received = memoryview(trip.answer), 0
        while received < len(view):
            count = self._socket.recv_into(view[received:])
            if count == 0:
                raise BenchmarkError("Memcached closed the connection")
            received += count
        if not trip.answer.endswith(trip.end):
            raise BenchmarkError(f"Memcached answered {bytes(trip.answer[-40:])!r}, expected {trip.end[-40:]!r}")


class BareRounds:
    """The same steps, round after round; each round waits for the other ranks, as an exchange must.

    Args:
        host: Memcached's host.
        port: Its port.
        prefix: The prefix of all keys.
        steps: The steps of a round; each value fits into one piece.
        rounds: The number of rounds to prepare.
    """

    def __init__(self, host: str, port: int, prefix: str, steps: list[Step], rounds: int) -> None:
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        longest = max(step.value_bytes for step in steps)
        names = [f"{prefix}/{number:06}" for number in range(rounds)]
        self._rounds = iter([[(step.verb, _trip(name, step, longest)) for step in steps] for name in names])

    def run(self) -> None:
        """Make the round trips of the next round.

        Raises:
            BenchmarkError: A response is not the expected one, or a rank is missing.
        """
        for verb, trip in next(self._rounds):
            deadline = time.monotonic() + TIMEOUT_S
            for look in itertools.count():
                if self._ask(trip) or verb == "put":
                    break
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"a rank does not come within {TIMEOUT_S:g} s")
                if look >= _EAGER_LOOKS:
                    time.sleep(_FIRST_PAUSE_S * _PAUSE_GROWTH ** (look - _EAGER_LOOKS))

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def _ask(self, trip: _Trip) -> bool:
        """Return whether all values exist; a response without some of them ends like a complete one."""
        self._socket.sendall(trip.request)
        view, received = memoryview(trip.answer), 0
        while not received or not trip.answer[:received].endswith(trip.end):
            count = self._socket.recv_into(view[received:])
            if count == 0:
                raise BenchmarkError("Memcached closed the connection")
            received += count
        return received == len(trip.answer)


def _trip(prefix: str, step: Step, limit: int) -> _Trip:
    sizes = [min(limit, step.value_bytes - start) for start in range(0, step.value_bytes, limit)]
    pieces = [(f"{prefix}/{key}/{index}", size) for key in step.keys for index, size in enumerate(sizes)]
    if step.verb == "put":
        requests = [f"set {key} 0 {_TTL_S} {size}\r\n".encode() + bytes(size) + b"\r\n" for key, size in pieces]
        end = _STORED * len(requests)
        return _Trip(b"".join(requests), bytearray(len(end)), end)
    length = sum(len(f"VALUE {key} 0 {size}\r\n") + size + len("\r\n") for key, size in pieces) + len(_END)
    return _Trip(f"get {' '.join(key for key, _ in pieces)}\r\n".encode(), bytearray(length), _END)
