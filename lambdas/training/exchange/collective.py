"""Collectives over a mailbox.

Invariant: after round k every rank holds the same values, bit for bit, computed from the parts of ranks
0 .. n-1 added in rank order.

Trips per all-reduce, with w ranks and the channel in the middle:

    all_gather    everyone reads everyone      1 put + 1 batched get; w(w-1) parts cross the wire
    reduce        rank 0 merges                2 puts in a row; 2(w-1) parts cross the wire
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from training.exchange.frame import Array, Frame
from training.exchange.mailbox import Mailbox


class Total(NamedTuple):
    """What an all-reduce gives every rank.

    Attributes:
        values: The sum of all ranks' values, in their dtype.
        samples: The sum of all ranks' sample counts.
    """

    values: Array
    samples: int


@dataclass(frozen=True, slots=True)
class Step:
    """Where in the run an all-reduce stands, and how long it may wait."""

    mailbox: Mailbox
    round: int
    first_step: int
    timeout_s: float


Collective = Callable[[Step, Array, int], Total]


def all_gather(step: Step, values: Array, samples: int) -> Total:
    """Every rank reads every part and adds them itself."""
    box = step.mailbox
    box.post(step.round, step.first_step, values, samples)
    others = [rank for rank in range(box.world_size) if rank != box.rank]
    parts = box.collect(step.round, step.first_step, others, values.dtype, timeout_s=step.timeout_s)
    return add_in_rank_order({box.rank: (values, samples), **_contents(parts.values())})


def reduce(step: Step, values: Array, samples: int) -> Total:
    """Rank 0 reads every part, adds them, and stores the sum for the others."""
    box, merged_step = step.mailbox, step.first_step + 1
    if box.rank == 0:
        others = range(1, box.world_size)
        parts = box.collect(step.round, step.first_step, others, values.dtype, timeout_s=step.timeout_s)
        total = add_in_rank_order({0: (values, samples), **_contents(parts.values())})
        box.post(step.round, merged_step, total.values, total.samples, merged=True)
        return total
    box.post(step.round, step.first_step, values, samples)
    frames = box.collect(step.round, merged_step, [0], values.dtype, timeout_s=step.timeout_s, merged=True)
    return Total(frames[0].payload, frames[0].samples)


COLLECTIVES: dict[str, Collective] = {"all_gather": all_gather, "reduce": reduce}
STEPS_PER_COLLECTIVE = 2


class Exchange:
    """The all-reduce of one rank, round after round.

    Canonical loop, the same on every rank:

        for number in range(1, rounds + 1):
            exchange.begin_round(number)
            total = exchange.all_reduce(part, samples)

    Every rank must call `begin_round` and `all_reduce` in the same order with arrays of the same size and dtype.

    Args:
        mailbox: This rank's mailbox.
        sync_mode: Which collective carries the all-reduce.
        join_timeout_s: Limit of a wait in round 0, in which peers may still be starting.
        round_timeout_s: Limit of a wait in every later round.
    """

    def __init__(self, mailbox: Mailbox, sync_mode: str, *, join_timeout_s: float, round_timeout_s: float) -> None:
        self.mailbox = mailbox
        self.seconds: list[float] = []
        self._collective = COLLECTIVES[sync_mode]
        self._timeouts = (join_timeout_s, round_timeout_s)
        self._round = 0
        self._next_step = 0

    def begin_round(self, number: int) -> None:
        """Enters a round, and lets go of this rank's frames that no peer can still need."""
        self.mailbox.forget(number - 2)
        self._round, self._next_step = number, 0

    def all_reduce(self, values: Array, samples: int) -> Total:
        """The sum of all ranks' values and sample counts, bit for bit the same on every rank.

        Args:
            values: This rank's part: float32 or float64, one dimension.
            samples: Rows behind it.

        Raises:
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        step = Step(self.mailbox, self._round, self._next_step, self._timeouts[self._round > 0])
        self._next_step += STEPS_PER_COLLECTIVE
        started = time.perf_counter()
        total = self._collective(step, values, samples) if self.mailbox.world_size > 1 else Total(values, samples)
        self.seconds.append(time.perf_counter() - started)
        return total


def add_in_rank_order(parts: dict[int, tuple[Array, int]]) -> Total:
    """Adds parts by ascending rank: floating-point sums depend on the order, and all ranks must agree."""
    ordered = [parts[rank] for rank in sorted(parts)]
    total = ordered[0][0].copy()
    for values, _ in ordered[1:]:
        total += values
    return Total(total, sum(samples for _, samples in ordered))


def _contents(frames: Iterable[Frame]) -> dict[int, tuple[Array, int]]:
    return {frame.rank: (frame.payload, frame.samples) for frame in frames}
