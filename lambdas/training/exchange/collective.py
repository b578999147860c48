"""Collectives over a mailbox.

Invariant: after round k every rank holds the same values, bit for bit, computed from the parts of ranks
0 .. n-1 added in rank order. (`latest`, the stale one, keeps it only where a round is closed by another collective.)

    all_gather       everyone reads everyone and adds           1 put, 1 get
    reduce           rank 0 adds, everyone reads the sum        2 puts in a row
    reduce_scatter   rank r adds slice r, everyone reads all    2 puts in a row, each of a w-th of the bytes
    latest           everyone adds the newest parts there are   1 put, 2 gets, no wait for ranks that lag a little
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from training.exchange.frame import Array, Encoding, Frame
from training.exchange.mailbox import Mailbox, Place


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


Collective = Callable[[Call, Array, int], Total]


def all_gather(call: Call, values: Array, samples: int) -> Total:
    """Every rank reads every part and adds them itself."""
    box, place = call.mailbox, Place(call.round, call.step)
    box.post(place, values, samples, call.flags, call.encoding)
    frames = box.collect(place, box.others, values.dtype, timeout_s=call.timeout_s)
    return _add(frames, box.rank, Total(box.as_received(values, call.encoding), samples, call.flags))


def reduce(call: Call, values: Array, samples: int) -> Total:
    """Rank 0 reads every part, adds them, and stores the sum for the others."""
    box = call.mailbox
    parts, merged = Place(call.round, call.step), Place(call.round, call.step + 1, merged=True)
    if box.rank == 0:
        frames = box.collect(parts, box.others, values.dtype, timeout_s=call.timeout_s)
        total = _add(frames, 0, Total(values, samples, call.flags))
        box.post(merged, total.values, total.samples, total.flags, call.encoding)
        return total._replace(values=box.as_received(total.values, call.encoding))
    box.post(parts, values, samples, call.flags, call.encoding)
    frame = box.collect(merged, [0], values.dtype, timeout_s=call.timeout_s)[0]
    return Total(frame.payload, frame.samples, frame.flags)


def reduce_scatter(call: Call, values: Array, samples: int) -> Total:
    """Rank r reads slice r of every part, adds them, and stores the sum; every rank reads all summed slices."""
    box = call.mailbox
    parts, merged = Place(call.round, call.step), Place(call.round, call.step + 1, merged=True)
    slices = np.array_split(values, box.world_size)
    box.post_slices(parts, {rank: slices[rank] for rank in box.others}, samples, call.flags, call.encoding)
    frames = box.collect(parts, box.others, values.dtype, timeout_s=call.timeout_s, slices=True)
    own = _add(frames, box.rank, Total(slices[box.rank], samples, call.flags))
    box.post(merged, own.values, own.samples, own.flags, call.encoding)
    sums = {box.rank: box.as_received(own.values, call.encoding)}
    frames = box.collect(merged, box.others, values.dtype, timeout_s=call.timeout_s)
    sums |= {rank: frame.payload for rank, frame in frames.items()}
    return Total(np.concatenate([sums[rank] for rank in range(box.world_size)]), own.samples, own.flags)


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
                self._newest |= box.collect(place, [rank], values.dtype, timeout_s=call.timeout_s)
        return _add(self._newest, box.rank, Total(box.as_received(values, call.encoding), samples))

    def _await_clocks(self, call: Call) -> dict[int, int]:
        wait = call.mailbox.wait(Place(call.round, call.step), call.timeout_s)
        while True:
            clocks = call.mailbox.clocks(wait.look(call.mailbox.clock_keys))
            lagging = sorted(rank for rank, clock in clocks.items() if clock < call.round - self._max_staleness)
            if not lagging:
                wait.over()
                return clocks
            wait.pause(lagging, progress=False)


def _add(frames: dict[int, Frame], own_rank: int, own: Total) -> Total:
    """Adds parts by ascending rank: floating-point sums depend on the order, and all ranks must agree."""
    parts = {own_rank: own} | {rank: Total(f.payload, f.samples, f.flags) for rank, f in frames.items()}
    ordered = [parts[rank] for rank in sorted(parts)]
    total, flags = ordered[0].values.copy(), own.flags
    for part in ordered[1:]:
        total += part.values
    for part in ordered:
        flags |= part.flags
    return Total(total, sum(part.samples for part in ordered), flags)
