"""The flat collectives: every rank exchanges with every other, or all with rank 0.

Invariant: after round k every rank holds the same values, bit for bit, computed from the parts of ranks
0 .. n-1 added in rank order.

    all_gather       everyone reads everyone and adds           1 round trip: a put and the get behind it
    reduce           rank 0 adds, everyone reads the sum        2 puts in a row
    reduce_scatter   rank r adds slice r, everyone reads all    2 puts in a row, each of 1/n of the bytes
"""

import numpy as np

from training.exchange.collectives.call import CollectiveCall, Total, add_in_order, put_together
from training.exchange.frame import Array
from training.exchange.keys import Place


def all_gather(call: CollectiveCall, values: Array, samples: int) -> Total:
    """Read every part and add them, on every rank."""
    box, place = call.mailbox, Place(call.round, call.step)
    outgoing = box.outgoing(place, values, samples, call.flags, call.encoding)
    frames = call.collect(place, box.others, values, outgoing=outgoing)
    return add_in_order(frames, box.rank, Total(box.as_received(values, call.encoding), samples, call.flags))


def reduce(call: CollectiveCall, values: Array, samples: int) -> Total:
    """Let rank 0 read every part, add them, and store the sum for the others."""
    box = call.mailbox
    parts, merged = Place(call.round, call.step), Place(call.round, call.step + 1, merged=True)
    if box.rank == 0:
        frames = call.collect(parts, box.others, values)
        total = add_in_order(frames, 0, Total(values, samples, call.flags))
        call.send(merged, total)
        return total._replace(values=box.as_received(total.values, call.encoding))
    outgoing = box.outgoing(parts, values, samples, call.flags, call.encoding)
    frame = call.collect(merged, [0], values, outgoing=outgoing)[0]
    return Total(frame.payload, frame.samples, frame.flags)


def reduce_scatter(call: CollectiveCall, values: Array, samples: int) -> Total:
    """Let rank r read slice r of every part, add them, and store the sum; read all summed slices on every rank."""
    box = call.mailbox
    parts, merged = Place(call.round, call.step), Place(call.round, call.step + 1, merged=True)
    slices = np.array_split(values, box.world_size)
    # In a ring: while this rank stores the slice for the i-th rank behind it, the i-th before it stores that for this.
    ring = [(box.rank + step) % box.world_size for step in range(1, box.world_size)]
    outgoing = box.outgoing(parts, {rank: slices[rank] for rank in ring}, samples, call.flags, call.encoding)
    frames = call.collect(parts, ring[::-1], slices[box.rank], outgoing=outgoing, slices=True)
    own = add_in_order(frames, box.rank, Total(slices[box.rank], samples, call.flags))
    # The sums of the others are received in place.
    whole = np.empty_like(values)
    places = np.array_split(whole, box.world_size)
    lengths = {rank: place.size for rank, place in enumerate(places)}
    outgoing = box.outgoing(merged, own.values, own.samples, own.flags, call.encoding)
    frames = call.collect(merged, box.others, values, outgoing=outgoing, target=places.__getitem__, lengths=lengths)
    put_together(dict(enumerate(places)), frames, box.rank, box.as_received(own.values, call.encoding))
    return Total(whole, own.samples, own.flags)
