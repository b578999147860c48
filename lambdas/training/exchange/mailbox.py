"""The mailbox: one rank's frames into the channel and its peers' frames out of it, with a deadline on every wait.

Keys are `[<prefix>/]<run_id>/<round>/<step>/<rank>[/<chunk>]`.
A chunk is a slice that is meant for one rank (`/<slice>`), a piece of a frame larger than the channel's limit
(`/<piece>`, the first one lies under the plain key), or a piece of a slice (`/<slice>/<piece>`).
`<run_id>/abort` ends a run for all ranks that wait; `<run_id>/clock/<rank>` tells a rank's newest round in async.
"""

import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.errors import ExchangeError, RanksMissing, RunAborted
from training.exchange.channel import Channel
from training.exchange.frame import HEADER_BYTES, Array, Encoding, Frame, pack, payload_length, unpack

logger = logging.getLogger(__name__)

# A peer's frame is often there already or comes within one trip; only then does a rank give the core away.
EAGER_POLLS = 3
FIRST_DELAY_S = 50e-6
DELAY_GROWTH = 1.5
LONGEST_DELAY_S = 2e-3


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run frames belong.

    Attributes:
        round: The round.
        step: The step within it.
        merged: Whether the frames hold merged values rather than the ranks' own parts.
    """

    round: int
    step: int
    merged: bool = False


class Mailbox:
    """Sends and collects the frames of one rank in one run.

    Args:
        channel: Where frames lie.
        run_id: The run.
        rank: This rank.
        world_size: How many ranks there are.
        attempt: Which try of this rank this is, from 1.
        part_prefix: Key prefix of the ranks' own parts; may be empty.
        merged_prefix: Key prefix of merged parts; may be empty.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        run_id: str,
        rank: int,
        world_size: int,
        attempt: int = 1,
        part_prefix: str = "",
        merged_prefix: str = "",
    ) -> None:
        self.run_id, self.rank, self.world_size, self.attempt = run_id, rank, world_size, attempt
        self.others = [other for other in range(world_size) if other != rank]
        self._channel = channel
        self._prefixes = {False: _folder(part_prefix), True: _folder(merged_prefix)}
        self._part_prefix = part_prefix
        self._posted: dict[int, list[str]] = {}

    def post(self, place: Place, values: Array, samples: int, encoding: Encoding | None = None) -> None:
        """Stores this rank's frame.

        Raises:
            ChannelError: The channel is not reachable or refused the frame.
        """
        self._store(place, {self._key(place, self.rank): values}, samples, encoding)

    def post_slices(
        self, place: Place, slices: Mapping[int, Array], samples: int, encoding: Encoding | None = None
    ) -> None:
        """Stores one frame per receiving rank, in one trip.

        Raises:
            ChannelError: The channel is not reachable or refused a frame.
        """
        keys = {self._key(place, self.rank, receiver): values for receiver, values in slices.items()}
        self._store(place, keys, samples, encoding)

    def as_received(self, values: Array, encoding: Encoding | None) -> Array:
        """The values as peers read them once they have travelled in this encoding."""
        if encoding != Encoding.FLOAT16:
            return values
        frame = pack(Frame(self.run_id, self.rank, self.attempt, 0, 0, 0, values), encoding)
        return self._unpack(frame, Place(0, 0), self.rank, values.dtype).payload

    def collect(
        self, place: Place, ranks: Sequence[int], dtype: np.dtype[Any], *, timeout_s: float, slices: bool = False
    ) -> dict[int, Frame]:
        """Waits until the frames of these ranks are there; returns them by rank.

        Args:
            place: Where they belong.
            ranks: Who sends them.
            dtype: What their values are.
            timeout_s: How long to wait at most.
            slices: Whether they were sent to this rank alone.

        Raises:
            RanksMissing: The deadline passed first; the error names who is missing.
            RunAborted: A rank gave the run up meanwhile.
            FrameError: What lies under a key is not the frame that belongs there.
            ChannelError: The channel is not reachable.
        """
        receiver = self.rank if slices else None
        keys = {rank: self._key(place, rank, receiver) for rank in ranks}
        frames: dict[int, Frame] = {}
        partial: dict[int, list[bytes]] = {rank: [] for rank in ranks}
        started = time.monotonic()
        for delay in delays():
            wanted = {_piece(keys[rank], len(pieces)): rank for rank, pieces in partial.items()}
            found = self._look(list(wanted))
            for name, rank in wanted.items():
                if name in found:
                    partial[rank].append(found[name])
            for rank in [rank for rank, pieces in partial.items() if _is_whole(pieces)]:
                frames[rank] = self._unpack(b"".join(partial.pop(rank)), place, rank, dtype)
            if not partial:
                return frames
            waited = time.monotonic() - started
            if waited >= timeout_s:
                raise RanksMissing(self.run_id, place.round, place.step, sorted(partial), waited)
            if not found:
                time.sleep(min(delay, timeout_s - waited))
        raise AssertionError("the delays never end")

    def set_clock(self, round_number: int) -> None:
        """Tells the peers that this rank's frame of a round is there."""
        self._channel.put_many({self._clock_key(self.rank): str(round_number).encode()})

    def clocks(self) -> dict[int, int]:
        """The newest round of every peer; 0 for those that have told none.

        Raises:
            RunAborted: A rank gave the run up meanwhile.
        """
        keys = {rank: self._clock_key(rank) for rank in self.others}
        found = self._look(list(keys.values()))
        return {rank: int(found.get(key, b"0")) for rank, key in keys.items()}

    def forget(self, round_number: int) -> None:
        """Removes this rank's own frames of all rounds up to this one.

        Safe two rounds back: a rank that has finished round k has seen a part of every rank for round k,
        so every rank has finished round k - 1.
        """
        for old in [number for number in self._posted if number <= round_number]:
            self._channel.delete_many(self._posted.pop(old))

    def abort(self, cause: str) -> None:
        """Ends the run for every rank that waits; the first lines of the cause travel with it."""
        try:
            abort_run(self._channel, self.run_id, f"rank {self.rank}: {cause}", self._part_prefix)
        except ExchangeError as error:
            # The cause itself is about to be raised; the peers fall back to their deadlines.
            logger.warning("could not tell the other ranks: %s", error)

    def check_abort(self) -> None:
        """Looks whether the run was given up; for a rank that waits for no others.

        Raises:
            RunAborted: It was.
        """
        self._look([])

    def _store(self, place: Place, values: Mapping[str, Array], samples: int, encoding: Encoding | None) -> None:
        limit = self._channel.max_value_bytes
        pieces: dict[str, bytes] = {}
        for key, array in values.items():
            frame = Frame(self.run_id, self.rank, self.attempt, place.round, place.step, samples, array)
            buffer = pack(frame, encoding)
            starts = enumerate(range(0, len(buffer), limit))
            pieces |= {_piece(key, index): buffer[start : start + limit] for index, start in starts}
        self._channel.put_many(pieces)
        self._posted.setdefault(place.round, []).extend(pieces)

    def _look(self, keys: list[str]) -> dict[str, bytes]:
        abort_key = _abort_key(self.run_id, self._part_prefix)
        found = self._channel.get_many([*keys, abort_key])
        if abort_key in found:
            raise RunAborted(found[abort_key].decode(errors="replace"))
        return found

    def _unpack(self, buffer: bytes, place: Place, rank: int, dtype: np.dtype[Any]) -> Frame:
        return unpack(buffer, run_id=self.run_id, rank=rank, round_number=place.round, step=place.step, dtype=dtype)

    def _key(self, place: Place, sender: int, receiver: int | None = None) -> str:
        key = f"{self._prefixes[place.merged]}{self.run_id}/{place.round}/{place.step}/{sender}"
        return key if receiver is None else f"{key}/{receiver}"

    def _clock_key(self, rank: int) -> str:
        return f"{self._prefixes[False]}{self.run_id}/clock/{rank}"


def abort_run(channel: Channel, run_id: str, cause: str, part_prefix: str = "") -> None:
    """Ends a run for all its ranks, from within or from outside.

    Raises:
        ChannelError: The channel is not reachable.
    """
    channel.put_many({_abort_key(run_id, part_prefix): cause.encode()[:4096]})


def delays() -> Iterator[float]:
    """Seconds between looks: none at first, then ever longer up to a limit; without end."""
    yield from itertools.repeat(0.0, EAGER_POLLS)
    delay = FIRST_DELAY_S
    while True:
        yield delay
        delay = min(delay * DELAY_GROWTH, LONGEST_DELAY_S)


def _abort_key(run_id: str, part_prefix: str) -> str:
    return f"{_folder(part_prefix)}{run_id}/abort"


def _folder(prefix: str) -> str:
    return f"{prefix}/" if prefix else ""


def _piece(key: str, index: int) -> str:
    return f"{key}/{index}" if index else key


def _is_whole(pieces: list[bytes]) -> bool:
    return bool(pieces) and sum(map(len, pieces)) >= HEADER_BYTES + payload_length(pieces[0])
