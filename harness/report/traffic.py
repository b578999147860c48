"""The bytes that each rank sends to the cache and receives from it in one all-reduce."""

from typing import NamedTuple

import numpy as np

from harness.report.samples import Floats
from training.exchange.collectives.two_level import WHOLE_UP_TO_BYTES, group_of, leaders_of
from training.exchange.frame import HEADER_BYTES


class RankTraffic(NamedTuple):
    """Bytes by rank.

    Attributes:
        sent: To the cache.
        received: From the cache.
    """

    sent: Floats
    received: Floats


def traffic(collective: str, world_size: int, part_bytes: int) -> RankTraffic:
    """Return the bytes of one all-reduce, by rank.

    Args:
        collective: `all_gather`, `reduce`, `reduce_scatter` or `two_level`.
        world_size: The number of ranks.
        part_bytes: The size of one rank's part in bytes.
    """
    w, whole = world_size, float(part_bytes + HEADER_BYTES)
    sent, received = np.zeros(w), np.zeros(w)
    if w == 1:
        return RankTraffic(sent, received)
    if collective == "all_gather":
        return RankTraffic(sent + whole, received + (w - 1) * whole)
    if collective == "reduce_scatter":
        of_slices = (w - 1) * (part_bytes / w + HEADER_BYTES)
        return RankTraffic(sent + of_slices + part_bytes / w + HEADER_BYTES, received + 2 * of_slices)
    leaders = np.array(leaders_of(w)) if collective == "two_level" else np.array([0])
    members = w - 1 if collective == "reduce" else len(group_of(0, w)) - 1
    is_leader = np.isin(np.arange(w), leaders)
    sent[~is_leader] = received[~is_leader] = whole
    sent[is_leader], received[is_leader] = whole, members * whole
    if collective == "two_level" and len(leaders) > 1:
        flat = "all_gather" if part_bytes <= WHOLE_UP_TO_BYTES else "reduce_scatter"
        among = traffic(flat, len(leaders), part_bytes)
        sent[is_leader] += among.sent
        received[is_leader] += among.received
    return RankTraffic(sent, received)
