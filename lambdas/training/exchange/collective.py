"""Collectives over a mailbox.

Invariant: after round k every rank holds the same values, bit for bit, computed from the parts of ranks
0 .. n-1 added in rank order. (`latest`, the stale one, keeps it only where a round is closed by another collective.)

    all_gather       everyone reads everyone and adds           1 trip: a put, and a get behind it
    reduce           rank 0 adds, everyone reads the sum        2 puts in a row
    reduce_scatter   rank r adds slice r, everyone reads all    2 puts in a row, each of a w-th of the bytes
    latest           everyone adds the newest parts there are   1 put, 2 gets, no wait for ranks that lag a little
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.errors import FrameError
from training.exchange.channel import Value
from training.exchange.frame import Array, Encoding, Frame
from training.exchange.incoming import Target
from training.exchange.mailbox import Mailbox, Place

# From this size on values are received straight into their array; smaller ones come with the reply's line.
LANDING_BYTES = 16_384


class Total(NamedTuple):
    """What an all-reduce gives every rank.

    Attributes:
        values: The sum of all ranks' values, in their dtype.
        samples: The sum of all ranks' sample counts.
        flags: What any rank asked of all, the same on every rank (in `latest` this rank's own alone).
    """

    values: Array
    samples: int
    flags: int = 0

    def divided_by(self, count: int) -> Array:
        """The sum divided by a count, in its own dtype."""
        quotient: Array = self.values / self.values.dtype.type(count)
        return quotient


class Call(NamedTuple):
    """One call of a collective: its frames use `STEPS_PER_CALL` steps of its round, from `step` on."""

    mailbox: Mailbox
    round: int
    step: int
    timeout_s: float
    encoding: Encoding | None = None
    flags: int = 0

    def collect(
        self,
        place: Place,
        ranks: Sequence[int],
        like: Array,
        *,
        posting: Mapping[str, Value] | None = None,
        slices: bool = False,
        target: Target | None = None,
        lengths: Mapping[int, int] | None = None,
    ) -> dict[int, Frame]:
        """The frames of these ranks, of the dtype of `like`, and with as many values unless `lengths` says otherwise.

        Raises:
            FrameError: One has another number of values; and see `Mailbox.collect`.
        """
        # Only values that travel as they are have a length that is known beforehand.
        plain = self.encoding in {None, Encoding.FLOAT32} or like.dtype == np.float64
        if not plain or like.nbytes < LANDING_BYTES:
            target = None
        elif target is None:
            target = _new_array(like)
        frames = self.mailbox.collect(
            place,
            ranks,
            like.dtype,
            timeout_s=self.timeout_s,
            slices=slices,
            posting=posting,
            target=target,
        )
        for rank, frame in frames.items():
            expected = (lengths or {}).get(rank, like.size)
            if frame.payload.size != expected:
                raise FrameError(
                    f"frame of rank {rank}, round {place.round}, step {place.step}: "
                    f"it has {frame.payload.size} values, expected {expected}"
                )
        return frames


def _new_array(like: Array) -> Target:
    return lambda _rank: np.empty_like(like)


Collective = Callable[[Call, Array, int], Total]


def all_gather(call: Call, values: Array, samples: int) -> Total:
    """Every rank reads every part and adds them itself."""
    box, place = call.mailbox, Place(call.round, call.step)
    parcel = box.parcel(place, values, samples, call.flags, call.encoding)
    frames = call.collect(place, box.others, values, posting=parcel)
    return add_in_order(frames, box.rank, Total(box.as_received(values, call.encoding), samples, call.flags))


def reduce(call: Call, values: Array, samples: int) -> Total:
    """Rank 0 reads every part, adds them, and stores the sum for the others."""
    box = call.mailbox
    parts, merged = Place(call.round, call.step), Place(call.round, call.step + 1, merged=True)
    if box.rank == 0:
        frames = call.collect(parts, box.others, values)
        total = add_in_order(frames, 0, Total(values, samples, call.flags))
        box.post(merged, total.values, total.samples, total.flags, call.encoding)
        return total._replace(values=box.as_received(total.values, call.encoding))
    parcel = box.parcel(parts, values, samples, call.flags, call.encoding)
    frame = call.collect(merged, [0], values, posting=parcel)[0]
    return Total(frame.payload, frame.samples, frame.flags)


def reduce_scatter(call: Call, values: Array, samples: int) -> Total:
    """Rank r reads slice r of every part, adds them, and stores the sum; every rank reads all summed slices."""
    box = call.mailbox
    parts, merged = Place(call.round, call.step), Place(call.round, call.step + 1, merged=True)
    slices = np.array_split(values, box.world_size)
    # In a ring: while this rank stores the slice for the i-th rank behind it, the i-th before it stores that for this.
    ring = [(box.rank + step) % box.world_size for step in range(1, box.world_size)]
    parcel = box.parcel(parts, {rank: slices[rank] for rank in ring}, samples, call.flags, call.encoding)
    frames = call.collect(parts, ring[::-1], slices[box.rank], posting=parcel, slices=True)
    own = add_in_order(frames, box.rank, Total(slices[box.rank], samples, call.flags))
    # The sums of the others are received where they belong.
    whole = np.empty_like(values)
    places = np.array_split(whole, box.world_size)
    lengths = {rank: place.size for rank, place in enumerate(places)}
    parcel = box.parcel(merged, own.values, own.samples, own.flags, call.encoding)
    frames = call.collect(merged, box.others, values, posting=parcel, target=places.__getitem__, lengths=lengths)
    put_together(dict(enumerate(places)), frames, box.rank, box.as_received(own.values, call.encoding))
    return Total(whole, own.samples, own.flags)


COLLECTIVES: dict[str, Collective] = {"all_gather": all_gather, "reduce": reduce, "reduce_scatter": reduce_scatter}
# As many as the longest pattern needs: `two_level` has four.
STEPS_PER_CALL = 4


class Latest:
    """The stale-synchronous collective: the newest part of every peer, whatever its round.

    No rank waits unless a peer is more than `max_staleness` rounds behind it.
    Ho et al. 2013, More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server.

    Args:
        max_staleness: Rounds that a peer may lag.
    """

    def __init__(self, max_staleness: int) -> None:
        self._max_staleness = max_staleness
        self._newest: dict[int, Frame] = {}

    @property
    def rounds_kept(self) -> int:
        """How many of its rounds a rank must leave in the channel, so that none is removed while a peer reads it.

        A peer reads a rank's clock, then the frame that it tells; meanwhile the rank can get as far ahead as its own
        wait for that peer allows.
        """
        return 2 * self._max_staleness + 3

    def __call__(self, call: Call, values: Array, samples: int) -> Total:
        """Adds this rank's part and the newest known part of every peer, in rank order.

        Raises:
            RanksMissing: A peer stayed too far behind until the deadline.
        """
        box = call.mailbox
        box.post(Place(call.round, call.step), values, samples, call.flags, call.encoding)
        box.set_clock(call.round)
        clocks = self._await_clocks(call)
        for rank, newest in clocks.items():
            known = self._newest.get(rank)
            if newest > 0 and (known is None or newest > known.round):
                place = Place(newest, call.step)
                self._newest |= call.collect(place, [rank], values)
        return add_in_order(self._newest, box.rank, Total(box.as_received(values, call.encoding), samples))

    def _await_clocks(self, call: Call) -> dict[int, int]:
        wait = call.mailbox.wait(Place(call.round, call.step), call.timeout_s)
        while True:
            clocks = call.mailbox.clocks(wait.look(call.mailbox.clock_keys))
            lagging = sorted(rank for rank, clock in clocks.items() if clock < call.round - self._max_staleness)
            if not lagging:
                wait.over()
                return clocks
            wait.pause(lagging, progress=False)


def put_together(places: Mapping[int, Array], frames: Mapping[int, Frame], own_rank: int, own: Array) -> None:
    """Copies slices to their places, those left out that were received there."""
    places[own_rank][:] = own
    for rank, frame in frames.items():
        if not np.shares_memory(places[rank], frame.payload):
            places[rank][:] = frame.payload


def add_in_order(frames: dict[int, Frame], own_rank: int, own: Total) -> Total:
    """Adds parts by ascending rank: floating-point sums depend on the order, and all ranks must agree."""
    parts = [own.values if rank == own_rank else frames[rank].payload for rank in sorted({own_rank, *frames})]
    values, samples, flags = parts[0], own.samples, own.flags
    for place, part in enumerate(parts[1:]):
        values = np.add(values, part, out=values if place else None)
    for frame in frames.values():
        samples += frame.samples
        flags |= frame.flags
    return Total(values, samples, flags)
