"""The mailbox: one rank's frames into the channel and its peers' frames out of it.

It knows keys, frames and how often to poll. What to do when a wait becomes long or the channel fails is the business
of the wait policy that each `collect` is given; see `training.exchange.waiting`.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from training.errors import ChannelError, DamagedFrame
from training.exchange.backoff import AdaptiveBackoff
from training.exchange.channel.base import Channel, Value
from training.exchange.clock import Clock
from training.exchange.frame import HEADER_BYTES, Array, Encoding, Frame, pack, unpack
from training.exchange.held import HeldFrames
from training.exchange.incoming import Incoming, Target, polls_of
from training.exchange.keys import Place, RunKeys, pieces_of
from training.exchange.waiting import Wait, WaitPolicy
from training.exchange.waits import NOBODY, Waits

logger = logging.getLogger(__name__)

# Up to this size a frame is copied once rather than sent in two parts; above it, its array is sent without a copy.
COPY_BYTES = 16_384


class _Later(NamedTuple):
    """Frames that the first poll did not find whole.

    Attributes:
        frames: The frames by rank.
        came_at: When the poll began that was the first to find any part of one; None if all were there before.
        missed_at: When a frame was first missed; None if none was.
        last: The rank whose frame came last.
    """

    frames: dict[int, Frame]
    came_at: float | None
    missed_at: float | None
    last: int


class Mailbox:
    """Sends and collects the frames of one rank in one run.

    Args:
        channel: Where frames are.
        run_id: The run.
        rank: This rank.
        world_size: How many ranks there are.
        attempt: Which try of this rank this is, from 1.
        part_prefix: Key prefix of the ranks' own parts; may be empty.
        merged_prefix: Key prefix of merged parts; may be empty.
        clock: What waits go by.

    Attributes:
        keys: The run's keys, those of the rank's generation.
        held: The frames that this rank can store again.
        waits: How long this rank waited for others in the present round.
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
        clock: Clock = Clock(),  # noqa: B008 - frozen
    ) -> None:
        self.run_id, self.rank, self.world_size, self.attempt = run_id, rank, world_size, attempt
        self.others = [other for other in range(world_size) if other != rank]
        self.channel, self.clock = channel, clock
        self.keys, self.held = RunKeys(run_id, part_prefix, merged_prefix), HeldFrames()
        self.waits = Waits()
        self._joins_at = 0
        self._backoffs: dict[tuple[int, bool], AdaptiveBackoff] = {}
        self._join_backoff = AdaptiveBackoff(world_size, joining=True)

    def outgoing(
        self,
        place: Place,
        parts: Array | Mapping[int, Array],
        samples: int,
        flags: int,
        encoding: Encoding | None = None,
    ) -> dict[str, Value]:
        """Return this rank's frames of one step, ready to be stored; they are held from now on.

        Args:
            place: Where they belong.
            parts: The values for all ranks, or those for each receiving rank.
            samples: Rows behind them.
            flags: What this rank asks of all.
            encoding: How float32 values are encoded.
        """
        outgoing: dict[str, Value] = {}
        for receiver, values in parts.items() if isinstance(parts, Mapping) else ((None, parts),):
            frame = Frame(self.run_id, self.rank, self.attempt, place.round, place.step, samples, values, flags)
            header, body = pack(frame, encoding)
            key = self.keys.frame(place, self.rank, receiver, self._joins_at)
            if len(body) <= COPY_BYTES:
                outgoing |= pieces_of(key, header + body, self.channel.max_value_bytes)
            else:
                # It may be stored again in the next round, so nobody may change it.
                values.setflags(write=False)
                outgoing |= pieces_of(key, (header, body), self.channel.max_value_bytes)
        self.held.add(place.round, outgoing)
        return outgoing

    def as_received(self, values: Array, encoding: Encoding | None) -> Array:
        """Return the values as peers read them after they have travelled in this encoding."""
        if encoding != Encoding.FLOAT16:
            return values
        header, body = pack(Frame(self.run_id, self.rank, self.attempt, 0, 0, 0, values), encoding)
        return self._unpack(header, body, Place(0, 0), self.rank, values.dtype).payload

    def collect(
        self,
        place: Place,
        ranks: Sequence[int],
        dtype: np.dtype[Any],
        policy: WaitPolicy,
        *,
        timeout_s: float,
        slices: bool = False,
        outgoing: Mapping[str, Value] | None = None,
        target: Target | None = None,
    ) -> dict[int, Frame]:
        """Wait until the frames of these ranks are there; return them by rank.

        Args:
            place: Where they belong.
            ranks: Who sends them.
            dtype: What their values are.
            policy: How to wait.
            timeout_s: How long to wait at most.
            slices: Whether they were sent to this rank alone.
            outgoing: Frames that are stored in the same round trip as the first poll.
            target: Returns the array in which a rank's values are received, if they are as many; None for small ones,
                and if their number is unknown.

        Raises:
            RanksMissing: The deadline passed; the error names who is missing.
            RunAborted: A rank gave the run up.
            FrameError: The value under a key is not the frame that belongs there.
            ChannelError: The channel is not reachable.
        """
        receiver = self.rank if slices else None
        keys = {rank: self.keys.frame(place, rank, receiver, self._joins_at) for rank in ranks}
        started = self.clock.now()
        if target is not None:
            backoff = self._backoff(place)
            wait = policy.wait(place, timeout_s, backoff.delays(lambda: self.clock.now() - started))
            later = self._collect_pieces(keys, place, dtype, wait, target, policy, outgoing)
            frames, came_at = later.frames, later.came_at
        else:
            found = policy.first_poll(outgoing, list(keys.values()), {})
            frames = self._whole_frames(found, keys, place, dtype)
            if not keys:
                return frames  # nearly always all frames are small, and often all are there at the first poll
            came_at = started if found else None
            backoff = self._backoff(place)
            wait = policy.wait(place, timeout_s, backoff.delays(lambda: self.clock.now() - started))
            later = self._collect_later(keys, place, dtype, wait, policy, found)
            frames |= later.frames
            came_at = later.came_at if came_at is None else came_at
        if later.missed_at is not None:
            self.waits.add(self.clock.now() - later.missed_at, later.last)
        backoff.learn(0.0 if came_at is None else came_at - started)
        wait.finish()
        return frames

    def start_at(self, round_number: int, joins_at: int = 0) -> None:
        """Start over at a round.

        Args:
            round_number: The round.
            joins_at: The round of the checkpoint that this rank would resume from: only ranks with the same one meet
                in round 0.
        """
        self.held.start_at(round_number)
        self._joins_at = joins_at

    def forget(self, round_number: int) -> None:
        """Remove this rank's own frames of all rounds up to this one.

        Safe two rounds back: a rank that has finished round k has seen a part of every rank for round k,
        so every rank has finished round k - 1.
        """
        self._remove(self.held.release(round_number))

    def enter_generation(self, number: int) -> None:
        """Go back with all ranks: remove what this rank has in the channel, and use other keys from now on."""
        self._remove([*self.held.all(), self.keys.position(self.rank)])
        self.keys = self.keys.of_generation(number)

    def _remove(self, keys: list[str]) -> None:
        if keys:
            try:
                self.channel.delete_many(keys)
            except ChannelError as error:
                logger.debug("left to expire: %s", error)

    def _collect_later(
        self,
        keys: dict[int, str],
        place: Place,
        dtype: np.dtype[Any],
        wait: Wait,
        policy: WaitPolicy,
        found: Mapping[str, Any],
    ) -> _Later:
        """As `collect`, for small frames that the first poll did not find whole."""
        frames: dict[int, Frame] = {}
        came_at: float | None = None
        missed_at: float | None = None
        left = len(keys)
        # A frame that is there and not whole is damaged, or the first piece of a large one.
        while not any(key in found for key in keys.values()):
            left, progress = len(keys), len(keys) < left
            missed_at = self.clock.now() if missed_at is None else missed_at
            wait.pause(keys, progress=progress)
            polled_at = self.clock.now()
            found = wait.poll(list(keys.values()))
            came_at = polled_at if found and came_at is None else came_at
            came = self._whole_frames(found, keys, place, dtype)
            frames |= came
            if not keys:
                return _Later(frames, came_at, missed_at, self._last_of(came))
        rest = self._collect_pieces(keys, place, dtype, wait, None, policy, None)
        began_at = rest.came_at if came_at is None else came_at
        return _Later(frames | rest.frames, began_at, rest.missed_at if missed_at is None else missed_at, rest.last)

    def _collect_pieces(
        self,
        keys: Mapping[int, str],
        place: Place,
        dtype: np.dtype[Any],
        wait: Wait,
        target: Target | None,
        policy: WaitPolicy,
        outgoing: Mapping[str, Value] | None,
    ) -> _Later:
        """As `_collect_later`, for frames that come in pieces, or are received in place."""
        frames: dict[int, Frame] = {}
        limit = self.channel.max_value_bytes
        incoming = {rank: Incoming(key, limit, target and target(rank)) for rank, key in keys.items()}
        polled_at = self.clock.now()
        came_at: float | None = None
        missed_at: float | None = None
        found = policy.first_poll(outgoing, *polls_of(incoming))
        while True:
            came = False
            whole_ranks: list[int] = []
            for rank, frame in list(incoming.items()):
                took = frame.take(found)
                try:
                    if (whole := frame.whole()) is not None:
                        frames[rank] = self._unpack(*whole, place, rank, dtype)
                        whole_ranks.append(rank)
                        del incoming[rank]
                    came |= took
                except DamagedFrame as error:
                    frame.start_over()
                    wait.damaged(error)
            came_at = polled_at if came and came_at is None else came_at
            if not incoming:
                return _Later(frames, came_at, missed_at, self._last_of(whole_ranks))
            more = any(frame.has_more for frame in incoming.values())
            if missed_at is None and not more:
                missed_at = self.clock.now()
            if wait.pause(incoming, progress=came, more=more):
                for frame in incoming.values():
                    frame.start_over()
            polled_at = self.clock.now()
            found = wait.poll(*polls_of(incoming))

    def _whole_frames(
        self, found: Mapping[str, Any], keys: dict[int, str], place: Place, dtype: np.dtype[Any]
    ) -> dict[int, Frame]:
        """Return the frames that came whole and sound; remove their ranks from `keys`."""
        frames = {}
        for rank, key in list(keys.items()) if found else ():
            value = found.get(key)
            if value is not None:
                header, body = value[:HEADER_BYTES], memoryview(value)[HEADER_BYTES:]
                try:
                    frames[rank] = self._unpack(header, body, place, rank, dtype)
                except DamagedFrame:
                    continue  # it may be the first piece of a large one
                del keys[rank]
        return frames

    def _last_of(self, ranks: Iterable[int]) -> int:
        """Return who came last; of several that came at once, the last in a ring, so that all ranks are named alike."""
        return max(ranks, key=lambda rank: (rank - self.rank) % self.world_size, default=NOBODY)

    def _backoff(self, place: Place) -> AdaptiveBackoff:
        if place.round == 0:
            return self._join_backoff
        return self._backoffs.setdefault((place.step, place.merged), AdaptiveBackoff(self.world_size))

    def _unpack(
        self, header: bytes | memoryview, body: bytes | memoryview, place: Place, rank: int, dtype: np.dtype[Any]
    ) -> Frame:
        return unpack(
            header, body, run_id=self.run_id, rank=rank, round_number=place.round, step=place.step, dtype=dtype
        )
