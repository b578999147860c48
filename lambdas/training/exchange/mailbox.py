"""The mailbox: one rank's frames into the channel and its peers' frames out of it, with a deadline on every wait.

Keys are `[<prefix>/]<run_id>/<round>/<step>/<rank>[/<chunk>]`; round 0 of a start from a checkpoint is `0@<round>`.
A chunk is a slice that is meant for one rank (`/<slice>`), a piece of a frame larger than the channel's limit
(`/<piece>`, the first one lies under the plain key), or a piece of a slice (`/<slice>/<piece>`).
`<run_id>/abort` ends a run for all ranks that wait; `<run_id>/clock/<rank>` tells a rank's newest round in async;
`<run_id>/private/<rank>/<round>` is what a rank alone had before a round.

This is the plain layer: a channel that fails and a damaged frame are errors here.
`training.exchange.recovery` stands around it, where a mailbox has one.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import (
    ChannelError,
    DamagedFrame,
    DuplicateDelivery,
    ExchangeError,
    ImpossibleValue,
    RanksMissing,
    RunAborted,
)
from training.exchange.backoff import AdaptiveBackoff
from training.exchange.channel.base import Channel, ReceiveBuffer, Value
from training.exchange.clock import Clock
from training.exchange.frame import HEADER_BYTES, MOST_COUNT, Array, Encoding, Frame, pack, unpack
from training.exchange.incoming import Incoming, Target
from training.exchange.keys import ABORT, DONE, Place, folder, key_of, piece_key, pieces_of
from training.exchange.run_signals import abort_run, read_abort
from training.exchange.waiting import Wait

if TYPE_CHECKING:
    from training.exchange.recovery.recovery import PatientWait, Recovery

logger = logging.getLogger(__name__)

# Up to this size a frame is copied once rather than sent in two parts; above it, its array goes out as it is.
COPY_BYTES = 16_384


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
        clock: What waits go by.

    Attributes:
        recovery: What helps when a wait becomes long; None for the plain layer alone.
        holds_from: The first round whose frames are held, to be put again.
        began_at: The first round that was computed since this rank came in, or came back.
        joins_at: The round of the checkpoint that this rank would go on from; only ranks with the same meet in round 0.
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
        self.recovery: Recovery | None = None
        self.holds_from = self.began_at = self.joins_at = 0
        self._prefixes = {False: folder(part_prefix), True: folder(merged_prefix)}
        self._part_prefix = part_prefix
        self._abort_key = self.key(ABORT)
        self._held: dict[int, dict[str, Value]] = {}
        self._paces: dict[tuple[int, bool], AdaptiveBackoff] = {}
        self._join_pace = AdaptiveBackoff(world_size, joining=True)

    def post(self, place: Place, values: Array, samples: int, flags: int, encoding: Encoding | None = None) -> None:
        """Stores this rank's frame.

        Raises:
            ChannelError: The channel is not reachable or refused the frame.
        """
        self._put(self.outgoing(place, values, samples, flags, encoding))

    def outgoing(
        self,
        place: Place,
        parts: Array | Mapping[int, Array],
        samples: int,
        flags: int,
        encoding: Encoding | None = None,
    ) -> dict[str, Value]:
        """This rank's frames of one step, ready to be stored; they are held from now on, to be put again.

        Args:
            place: Where they belong.
            parts: The values that are for all, or those for each receiving rank.
            samples: Rows behind them.
            flags: What this rank asks of all.
            encoding: How float32 values are laid down.
        """
        outgoing: dict[str, Value] = {}
        for receiver, values in parts.items() if isinstance(parts, Mapping) else ((None, parts),):
            frame = Frame(self.run_id, self.rank, self.attempt, place.round, place.step, samples, values, flags)
            header, body = pack(frame, encoding)
            key, whole = self._key(place, self.rank, receiver), (header, body)
            if len(body) <= COPY_BYTES:
                outgoing |= pieces_of(key, header + body, self.channel.max_value_bytes)
            else:
                # It may be put again in the next round, so nobody may change it.
                values.setflags(write=False)
                outgoing |= pieces_of(key, whole, self.channel.max_value_bytes)
        self._held.setdefault(place.round, {}).update(outgoing)
        return outgoing

    def as_received(self, values: Array, encoding: Encoding | None) -> Array:
        """The values as peers read them once they have travelled in this encoding."""
        if encoding != Encoding.FLOAT16:
            return values
        header, body = pack(Frame(self.run_id, self.rank, self.attempt, 0, 0, 0, values), encoding)
        return self._unpack(header, body, Place(0, 0), self.rank, values.dtype).payload

    def collect(
        self,
        place: Place,
        ranks: Sequence[int],
        dtype: np.dtype[Any],
        *,
        timeout_s: float,
        slices: bool = False,
        posting: Mapping[str, Value] | None = None,
        target: Target | None = None,
    ) -> dict[int, Frame]:
        """Waits until the frames of these ranks are there; returns them by rank.

        Args:
            place: Where they belong.
            ranks: Who sends them.
            dtype: What their values are.
            timeout_s: How long to wait at most.
            slices: Whether they were sent to this rank alone.
            posting: A outgoing that is stored in the same trip as the first look.
            target: Gives the array in which a rank's values are received, if they are as many; None for small ones,
                and where nobody knows how many they will be.

        Raises:
            RanksMissing: The deadline passed first; the error names who is missing.
            RunAborted: A rank gave the run up meanwhile.
            FrameError: What lies under a key is not the frame that belongs there.
            ChannelError: The channel is not reachable.
        """
        receiver = self.rank if slices else None
        keys = {rank: self._key(place, rank, receiver) for rank in ranks}
        found: Mapping[str, Any] = {}
        frames: dict[int, Frame] = {}
        started = self.clock.now()
        came_at: float | None = None
        if target is None:
            found = self._first_poll(posting, list(keys.values()), {})
            came_at = started if found else None
            frames = self._whole_frames(found, keys, place, dtype)
            if not keys:
                return frames  # nearly always all frames are small, and often all are there at the first look
        pace = self._pace(place)
        wait = self.wait(place, timeout_s, pace.delays(lambda: self.clock.now() - started))
        if target is None:
            # A frame that is there and not whole is damaged, or the first piece of a large one.
            left = len(keys)
            while not any(key in found for key in keys.values()):
                left, progress = len(keys), len(keys) < left
                wait.pause(keys, progress=progress)
                looked_at = self.clock.now()
                found = wait.poll(list(keys.values()))
                came_at = looked_at if found and came_at is None else came_at
                frames |= self._whole_frames(found, keys, place, dtype)
                if not keys:
                    break
        if keys:
            more, began_at = self._collect_pieces(keys, place, dtype, wait, posting if target else None, target)
            frames |= more
            came_at = began_at if came_at is None else came_at
        pace.learn(0.0 if came_at is None else came_at - started)
        wait.over()
        return frames

    def _collect_pieces(
        self,
        keys: Mapping[int, str],
        place: Place,
        dtype: np.dtype[Any],
        wait: "Wait | PatientWait",
        posting: Mapping[str, Value] | None,
        target: Target | None,
    ) -> tuple[dict[int, Frame], float | None]:
        """As `collect`, for frames that come in pieces, or are received where they belong.

        Returns:
            The frames, and when the look began that was the first to find any part of one.
        """
        frames: dict[int, Frame] = {}
        limit = self.channel.max_value_bytes
        incoming = {rank: Incoming(key, limit, target and target(rank)) for rank, key in keys.items()}
        looked_at = self.clock.now()
        came_at: float | None = None
        found: Mapping[str, Any] = self._first_poll(posting, *_wishes(incoming))
        while True:
            came = False
            for rank, its in list(incoming.items()):
                took = its.take(found)
                try:
                    if (whole := its.whole()) is not None:
                        frames[rank] = self._unpack(*whole, place, rank, dtype)
                        del incoming[rank]
                    came |= took
                except DamagedFrame as error:
                    its.begin_anew()
                    wait.damaged(error)
            came_at = looked_at if came and came_at is None else came_at
            if not incoming:
                return frames, came_at
            if wait.pause(incoming, progress=came, more=any(its.has_more for its in incoming.values())):
                for its in incoming.values():
                    its.begin_anew()
            looked_at = self.clock.now()
            found = wait.poll(*_wishes(incoming))

    def _pace(self, place: Place) -> AdaptiveBackoff:
        if place.round == 0:
            return self._join_pace
        return self._paces.setdefault((place.step, place.merged), AdaptiveBackoff(self.world_size))

    def _whole_frames(
        self, found: Mapping[str, Any], keys: dict[int, str], place: Place, dtype: np.dtype[Any]
    ) -> dict[int, Frame]:
        """The frames that came whole and sound; takes their ranks out of `keys`."""
        frames = {}
        for rank, key in list(keys.items()) if found else ():
            value = found.get(key)
            if value is not None:
                with suppress(DamagedFrame):
                    header, body = value[:HEADER_BYTES], memoryview(value)[HEADER_BYTES:]
                    frames[rank] = self._unpack(header, body, place, rank, dtype)
                    del keys[rank]
        return frames

    def wait(self, place: Place, timeout_s: float, looks: Iterator[float] | None = None) -> "Wait | PatientWait":
        """One wait, with recovery where there is one.

        Args:
            place: What is waited for.
            timeout_s: How long at most.
            looks: Seconds between its looks.
        """
        looks = looks or AdaptiveBackoff(self.world_size).delays()
        if self.recovery is None:
            return Wait(self.poll, self.clock, self.run_id, place, timeout_s, looks)
        return self.recovery.wait(place, timeout_s, looks)

    def poll(self, keys: list[str], buffers: Mapping[str, ReceiveBuffer] | None = None) -> dict[str, Any]:
        """The values that are there.

        Raises:
            RunAborted: A rank gave the run up meanwhile.
            ChannelError: The channel is not reachable.
        """
        abort_key = self._abort_key
        found: dict[str, Any] = self.channel.round_trip({}, [*keys, abort_key], buffers)
        if abort_key in found:
            raise RunAborted(read_abort(abort_key, found[abort_key]))
        return found

    def _first_poll(
        self, posting: Mapping[str, Value] | None, keys: list[str], buffers: Mapping[str, ReceiveBuffer]
    ) -> dict[str, Any]:
        """Stores a outgoing and looks; whether the run was given up is asked by later looks alone."""
        if posting is not None:
            return (self.recovery or self.channel).round_trip(posting, keys, buffers)
        try:
            return self.channel.round_trip({}, keys, buffers)
        except ChannelError:
            if self.recovery is None:
                raise
            return {}  # the looks that follow meet the failure again, with patience

    def set_clock(self, round_number: int) -> None:
        """Tells the peers that this rank's frame of a round is there."""
        clock = {self._clock_key(self.rank): str(round_number).encode()}
        self._held.setdefault(round_number, {}).update(clock)
        self._put(clock)

    def clocks(self, found: Mapping[str, bytes]) -> dict[int, int]:
        """The newest round of every peer, from what was found under `clock_keys`; 0 for those that have told none."""
        return {
            rank: _read_clock(key, found.get(key, b"0")) for rank, key in zip(self.others, self.clock_keys, strict=True)
        }

    @property
    def clock_keys(self) -> list[str]:
        """Where the peers' clocks lie."""
        return [self._clock_key(rank) for rank in self.others]

    def keep_private(self, round_number: int, state: bytes) -> None:
        """Stores what this rank alone has before a round, in a trip of its own: no frame of the round may lie first.

        A store that is refused does not stop those behind it in the same trip, nor those on other nodes.

        Raises:
            ChannelError: The channel is not reachable or refused it.
        """
        pieces = pieces_of(self._private_key(round_number), state, self.channel.max_value_bytes)
        self._held.setdefault(round_number, {}).update(pieces)
        self._put(pieces)

    def private(self, round_number: int, length_of: Callable[[bytes], int]) -> bytes | None:
        """What this rank's earlier try alone had before a round; None when it is not whole in the channel.

        Args:
            round_number: The round.
            length_of: The whole length, from the first piece.

        Raises:
            ChannelError: The channel is not reachable.
        """
        reader, limit = self.recovery or self.channel, self.channel.max_value_bytes
        key = self._private_key(round_number)
        first = reader.get_many([key]).get(key, b"")
        keys = [piece_key(key, index) for index in range(1, -(-length_of(first) // limit))]
        rest = reader.get_many(keys) if keys else {}
        return b"".join([first, *rest.values()]) if first and len(rest) == len(keys) else None

    def say_farewell(self, round_number: int, timeout_s: float) -> None:
        """Stays until every rank has said farewell, or one knows that all have; nothing is lost when none is heard.

        Args:
            round_number: The round after the last.
            timeout_s: How long to stay at most.
        """
        place, over = Place(round_number, 0), self.key(DONE)
        missing = {self._key(place, rank): rank for rank in self.others}
        wait = self.wait(place, timeout_s)
        try:
            self.post(place, np.zeros(0, np.float32), 0, 0)
            while missing:
                found = wait.poll([*missing, over])
                missing = {} if over in found else {key: rank for key, rank in missing.items() if key not in found}
                if missing:
                    wait.pause(missing.values(), progress=False)
            wait.over()
            self.channel.put_many({over: b"1"})
        except (ChannelError, RanksMissing, RunAborted, DuplicateDelivery) as error:
            logger.info("left without a farewell: %s", error)

    def forget(self, round_number: int) -> None:
        """Removes this rank's own frames of all rounds up to this one.

        Safe two rounds back: a rank that has finished round k has seen a part of every rank for round k,
        so every rank has finished round k - 1.
        """
        # Round 0 may be followed by any round: only a whole round later all are past it.
        in_use = {0} if len(self._held) == 1 else set()
        old = [number for number in self._held if number <= round_number and number not in in_use]
        keys = [key for number in old for key in self._held.pop(number)]
        self.holds_from = max(self.holds_from, round_number + 1)
        if keys:
            try:
                self.channel.delete_many(keys)
            except ChannelError as error:
                logger.debug("left to expire: %s", error)

    def leave_round_0(self, round_number: int) -> None:
        """Begins the rounds after round 0, which may be those after a checkpoint."""
        if round_number > 1:
            self.holds_from = self.began_at = round_number

    def start_at(self, round_number: int) -> None:
        """Begins anew at a round: what is held belongs to another course of this rank's rounds."""
        self._held.clear()
        self.holds_from = self.began_at = round_number

    def republish(self) -> int:
        """Stores all frames that are held once more; returns how many pieces they are.

        Raises:
            ChannelError: The channel is not reachable or refused one.
        """
        pieces = {key: piece for number in sorted(self._held) for key, piece in self._held[number].items()}
        self._put(pieces)
        return len(pieces)

    def abort(self, cause: str) -> None:
        """Ends the run for every rank that waits; the first lines of the cause travel with it."""
        try:
            abort_run(self.channel, self.run_id, f"rank {self.rank}: {cause}", self._part_prefix)
        except ExchangeError as error:
            # The cause itself is about to be raised; the peers fall back to their deadlines.
            logger.warning("could not tell the other ranks: %s", error)

    def check_abort(self) -> None:
        """Looks whether the run was given up; for a rank that waits for no others.

        Raises:
            RunAborted: It was.
        """
        try:
            self.poll([])
        except ChannelError as error:
            if self.recovery is None:
                raise
            logger.warning("could not look whether the run was given up: %s", error)

    def key(self, name: str) -> str:
        """The key of something that ranks tell one another beside their frames."""
        return key_of(self.run_id, name, self._part_prefix)

    def _put(self, pieces: Mapping[str, Value]) -> None:
        (self.recovery or self.channel).put_many(pieces)

    def _unpack(
        self, header: bytes | memoryview, body: bytes | memoryview, place: Place, rank: int, dtype: np.dtype[Any]
    ) -> Frame:
        return unpack(
            header, body, run_id=self.run_id, rank=rank, round_number=place.round, step=place.step, dtype=dtype
        )

    def _key(self, place: Place, sender: int, receiver: int | None = None) -> str:
        round_name = f"0@{self.joins_at}" if place.round == 0 and self.joins_at else place.round
        key = f"{self._prefixes[place.merged]}{self.run_id}/{round_name}/{place.step}/{sender}"
        return key if receiver is None else f"{key}/{receiver}"

    def _clock_key(self, rank: int) -> str:
        return self.key(f"clock/{rank}")

    def _private_key(self, round_number: int) -> str:
        return self.key(f"private/{self.rank}/{round_number}")


def _read_clock(key: str, value: bytes) -> int:
    if not (value.isdigit() and int(value) <= MOST_COUNT):
        raise ImpossibleValue(key, f"{value[:40]!r} is no round")
    return int(value)


def _wishes(incoming: Mapping[int, Incoming]) -> tuple[list[str], dict[str, ReceiveBuffer]]:
    """Keys to look at for what has not come yet, and where their values are to be received."""
    keys = [key for its in incoming.values() for key in its.wanted()]
    buffers: dict[str, ReceiveBuffer] = {}
    for its in incoming.values():
        buffers |= its.buffers
    return keys, buffers
