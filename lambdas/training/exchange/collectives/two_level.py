"""The two-level collective: groups of about the root of n ranks, one leader each; for hundreds of workers.

    step       who                what                                    frames, n ranks in groups of g
    s          members            put their parts                         n - n/g
               leaders            read their group's parts, add them      n - n/g
    s + 1      leaders            put group sums (large: slices of them)  n/g (n/g)^2
               leaders            read the others' and add                (n/g)^2
    s + 2      leaders, large     put and read the summed slices          n/g, (n/g)^2
    s + 3      leaders            put the total                           n/g
               members            read their leader's                     n - n/g

A flat collective makes one rank or the store handle n frames one after the other, or the store n^2 of them.
Here nobody handles more than g + n/g, and the store about 5 n; the price is two to four more round trips.

Sums are added by rank within a group and by group among leaders. This order is fixed, so every rank holds the same
bits; it is not the order of the flat collectives, whose bits differ from these in the last places.
"""

import math

import numpy as np

from training.exchange.collectives.call import CollectiveCall, Total, add_in_order, put_together
from training.exchange.frame import Array
from training.exchange.keys import Place

# Group sums up to this size go to all leaders whole, which saves a round trip and moves more bytes.
WHOLE_UP_TO_BYTES = 16_384


def group_of(rank: int, world_size: int) -> range:
    """Return the ranks of a rank's group; the first one leads. The last group may be smaller."""
    first = rank - rank % _group_size(world_size)
    return range(first, min(first + _group_size(world_size), world_size))


def leaders_of(world_size: int) -> range:
    """Return the ranks that lead a group."""
    return range(0, world_size, _group_size(world_size))


def two_level(call: CollectiveCall, values: Array, samples: int) -> Total:
    """Add parts within groups and the groups' sums among leaders; read the total from this rank's leader."""
    box, group = call.mailbox, group_of(call.mailbox.rank, call.mailbox.world_size)
    parts, total_place = Place(call.round, call.step), Place(call.round, call.step + 3, merged=True)
    leader, members = group[0], group[1:]
    if box.rank != leader:
        outgoing = box.outgoing(parts, values, samples, call.flags, call.encoding)
        frame = call.collect(total_place, [leader], values, outgoing=outgoing)[leader]
        return Total(frame.payload, frame.samples, frame.flags)
    own = Total(values, samples, call.flags)
    if members:
        own = add_in_order(call.collect(parts, members, values), leader, own)
    total = _among_leaders(call, own)
    if members:
        call.send(total_place, total)
    return total._replace(values=box.as_received(total.values, call.encoding))


def _among_leaders(call: CollectiveCall, own: Total) -> Total:
    """Return the sum of all groups' sums, the same bits on every leader."""
    box, leaders = call.mailbox, leaders_of(call.mailbox.world_size)
    others = [leader for leader in leaders if leader != box.rank]
    sums, merged = Place(call.round, call.step + 1), Place(call.round, call.step + 2, merged=True)
    if not others:
        return own
    if own.values.nbytes <= WHOLE_UP_TO_BYTES:
        outgoing = box.outgoing(sums, own.values, own.samples, own.flags, call.encoding)
        frames = call.collect(sums, others, own.values, outgoing=outgoing)
        return add_in_order(frames, box.rank, own._replace(values=box.as_received(own.values, call.encoding)))
    slices = dict(zip(leaders, np.array_split(own.values, len(leaders)), strict=True))
    mine = slices.pop(box.rank)
    outgoing = box.outgoing(sums, slices, own.samples, own.flags, call.encoding)
    frames = call.collect(sums, others, mine, outgoing=outgoing, slices=True)
    total = add_in_order(frames, box.rank, own._replace(values=mine))
    whole = np.empty_like(own.values)
    places = dict(zip(leaders, np.array_split(whole, len(leaders)), strict=True))
    lengths = {leader: place.size for leader, place in places.items()}
    outgoing = box.outgoing(merged, total.values, total.samples, total.flags, call.encoding)
    frames = call.collect(merged, others, own.values, outgoing=outgoing, target=places.__getitem__, lengths=lengths)
    put_together(places, frames, box.rank, box.as_received(total.values, call.encoding))
    return total._replace(values=whole)


def _group_size(world_size: int) -> int:
    return math.isqrt(world_size - 1) + 1
