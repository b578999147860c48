"""The mailbox: one rank's frames into the channel and its peers' frames out of it, with a deadline on every wait.

Keys are `[<prefix>/]<run_id>/<round>/<step>/<rank>[/<chunk>]`.
A frame larger than the channel's limit is cut: the first piece lies under the plain key, piece c under `/<c>`.
`<run_id>/abort` ends a run for all ranks that wait.
"""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from training.errors import ExchangeError, RanksMissing, RunAborted
from training.exchange.channel import Channel
from training.exchange.frame import HEADER_BYTES, Array, Frame, pack, payload_length, unpack

logger = logging.getLogger(__name__)

# A peer's frame is often there already or comes within one trip; only then does a rank give the core away.
EAGER_POLLS = 3
FIRST_DELAY_S = 50e-6
DELAY_GROWTH = 1.5
LONGEST_DELAY_S = 2e-3


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
        self._channel = channel
        self._prefixes = {False: _folder(part_prefix), True: _folder(merged_prefix)}
        self._abort_key = f"{_folder(part_prefix)}{run_id}/abort"
        self._posted: dict[int, list[str]] = {}

    def post(self, round_number: int, step: int, payload: Array, samples: int, *, merged: bool = False) -> None:
        """Stores this rank's frame of a step.

        Raises:
            ChannelError: The channel is not reachable or refused the frame.
        """
        frame = Frame(self.run_id, self.rank, self.attempt, round_number, step, samples, payload)
        key = self._key(round_number, step, self.rank, merged=merged)
        buffer, limit = pack(frame), self._channel.max_value_bytes
        pieces = {_piece(key, i): buffer[at : at + limit] for i, at in enumerate(range(0, len(buffer), limit))}
        for name, piece in pieces.items():
            self._channel.put(name, piece)
        self._posted.setdefault(round_number, []).extend(pieces)

    def collect(
        self,
        round_number: int,
        step: int,
        ranks: Sequence[int],
        dtype: np.dtype[Any],
        *,
        timeout_s: float,
        merged: bool = False,
    ) -> dict[int, Frame]:
        """Waits until the frames of these ranks are there; returns them by rank.

        Raises:
            RanksMissing: The deadline passed first; the error names who is missing.
            RunAborted: A rank gave the run up meanwhile.
            FrameError: What lies under a key is not the frame that belongs there.
            ChannelError: The channel is not reachable.
        """
        keys = {rank: self._key(round_number, step, rank, merged=merged) for rank in ranks}
        frames: dict[int, Frame] = {}
        partial: dict[int, list[bytes]] = {rank: [] for rank in ranks}
        started = time.monotonic()
        for delay in _delays():
            wanted = {_piece(keys[rank], len(pieces)): rank for rank, pieces in partial.items()}
            found = self._channel.get_many([*wanted, self._abort_key])
            if self._abort_key in found:
                raise RunAborted(found[self._abort_key].decode(errors="replace"))
            for name, rank in wanted.items():
                if name in found:
                    partial[rank].append(found[name])
            for rank in [rank for rank, pieces in partial.items() if _is_whole(pieces)]:
                buffer = b"".join(partial.pop(rank))
                frames[rank] = unpack(
                    buffer, run_id=self.run_id, rank=rank, round_number=round_number, step=step, dtype=dtype
                )
            if not partial:
                return frames
            waited = time.monotonic() - started
            if waited >= timeout_s:
                raise RanksMissing(self.run_id, round_number, step, sorted(partial), waited)
            if not any(name in found for name in wanted):
                time.sleep(min(delay, timeout_s - waited))
        raise AssertionError("the delays never end")

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
            self._channel.put(self._abort_key, f"rank {self.rank}: {cause}".encode()[:4096])
        except ExchangeError as error:
            # The cause itself is about to be raised; the peers fall back to their deadlines.
            logger.warning("could not tell the other ranks: %s", error)

    def _key(self, round_number: int, step: int, rank: int, *, merged: bool) -> str:
        return f"{self._prefixes[merged]}{self.run_id}/{round_number}/{step}/{rank}"


def _folder(prefix: str) -> str:
    return f"{prefix}/" if prefix else ""


def _piece(key: str, index: int) -> str:
    return f"{key}/{index}" if index else key


def _is_whole(pieces: list[bytes]) -> bool:
    return bool(pieces) and sum(map(len, pieces)) >= HEADER_BYTES + payload_length(pieces[0])


def _delays() -> Iterator[float]:
    yield from itertools.repeat(0.0, EAGER_POLLS)
    delay = FIRST_DELAY_S
    while True:
        yield delay
        delay = min(delay * DELAY_GROWTH, LONGEST_DELAY_S)
