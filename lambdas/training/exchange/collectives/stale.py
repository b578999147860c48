"""The stale-synchronous collective: the newest parts there are, without waiting for ranks that lag a little.

    latest   everyone adds the newest part of every peer   1 put, 2 gets

Ranks hold different values until another collective closes the round.
"""

from training.exchange.collectives.call import Call, Total, add_in_order
from training.exchange.frame import Array, Frame
from training.exchange.keys import Place


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
            clocks = call.mailbox.clocks(wait.poll(call.mailbox.clock_keys))
            lagging = sorted(rank for rank, clock in clocks.items() if clock < call.round - self._max_staleness)
            if not lagging:
                wait.over()
                return clocks
            wait.pause(lagging, progress=False)
