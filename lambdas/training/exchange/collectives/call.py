"""What every collective works with: one call of it, the total that it returns, and sums in a fixed order."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.errors import FrameError
from training.exchange.channel.base import Value
from training.exchange.frame import Array, Encoding, Frame
from training.exchange.incoming import Target
from training.exchange.keys import Place
from training.exchange.mailbox import Mailbox
from training.exchange.waiting import WaitPolicy

# From this size on values are received in place, in their array; smaller ones are copied out of the reply.
IN_PLACE_BYTES = 16_384
# As many as the longest collective needs: `two_level` has four.
STEPS_PER_CALL = 4


class Total(NamedTuple):
    """What an all-reduce gives every rank.

    Attributes:
        values: The sum of all ranks' values, in their dtype.
        samples: The sum of all ranks' sample counts.
        flags: What any rank asked of all, the same on every rank; not used in `async`.
    """

    values: Array
    samples: int
    flags: int = 0

    def divided_by(self, count: int) -> Array:
        """Return the sum divided by a count, in its own dtype."""
        quotient: Array = self.values / self.values.dtype.type(count)
        return quotient


class CollectiveCall(NamedTuple):
    """One call of a collective; its frames use `STEPS_PER_CALL` steps of its round, from `step` on."""

    mailbox: Mailbox
    policy: WaitPolicy
    round: int
    step: int
    timeout_s: float
    encoding: Encoding | None = None
    flags: int = 0

    def send(self, place: Place, total: Total) -> None:
        """Store a frame of this rank for all others.

        Raises:
            ChannelError: The channel is not reachable or refused it.
        """
        self.policy.store(self.mailbox.outgoing(place, total.values, total.samples, total.flags, self.encoding))

    def collect(
        self,
        place: Place,
        ranks: Sequence[int],
        like: Array,
        *,
        outgoing: Mapping[str, Value] | None = None,
        slices: bool = False,
        target: Target | None = None,
        lengths: Mapping[int, int] | None = None,
    ) -> dict[int, Frame]:
        """Return the frames of these ranks, with the dtype of `like`, and as many values unless `lengths` differs.

        Raises:
            FrameError: One has another number of values; and see `Mailbox.collect`.
        """
        # Only values that are not encoded have a length that is known beforehand.
        plain = self.encoding in {None, Encoding.FLOAT32} or like.dtype == np.float64
        if not plain or like.nbytes < IN_PLACE_BYTES:
            target = None
        elif target is None:
            target = _new_array(like)
        frames = self.mailbox.collect(
            place,
            ranks,
            like.dtype,
            self.policy,
            timeout_s=self.timeout_s,
            slices=slices,
            outgoing=outgoing,
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


Collective = Callable[[CollectiveCall, Array, int], Total]


def put_together(places: Mapping[int, Array], frames: Mapping[int, Frame], own_rank: int, own: Array) -> None:
    """Copy slices into place, skipping those already received in place."""
    places[own_rank][:] = own
    for rank, frame in frames.items():
        if not np.shares_memory(places[rank], frame.payload):
            places[rank][:] = frame.payload


def add_in_order(frames: dict[int, Frame], own_rank: int, own: Total) -> Total:
    """Add parts by ascending rank: floating-point sums depend on the order, and all ranks must agree."""
    parts = [own.values if rank == own_rank else frames[rank].payload for rank in sorted({own_rank, *frames})]
    values, samples, flags = parts[0], own.samples, own.flags
    for place, part in enumerate(parts[1:]):
        values = np.add(values, part, out=values if place else None)
    for frame in frames.values():
        samples += frame.samples
        flags |= frame.flags
    return Total(values, samples, flags)


def _new_array(like: Array) -> Target:
    return lambda _rank: np.empty_like(like)
