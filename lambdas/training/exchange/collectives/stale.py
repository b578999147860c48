"""The stale-synchronous collective: the newest parts there are, without waiting for ranks that lag a little.

    Latest   everyone adds the newest part of every peer   1 put, 2 gets

Ranks hold different values until another collective closes the round.
"""

from training.exchange.backoff import AdaptiveBackoff
from training.exchange.collectives.call import CollectiveCall, Total, add_in_order
from training.exchange.frame import Array, Frame
from training.exchange.keys import Place
from training.exchange.run_signals import RoundClocks
from training.exchange.waits import NOBODY


class Latest:
    """The newest part of every peer, whatever its round.

    No rank waits unless a peer is more than `max_staleness` rounds behind it.
    Ho et al. 2013, More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server.

    Args:
        max_staleness: Rounds that a peer may lag.
        clocks: Where ranks publish their newest rounds.
    """

    def __init__(self, max_staleness: int, clocks: RoundClocks) -> None:
        self._max_staleness, self._clocks = max_staleness, clocks
        self._newest: dict[int, Frame] = {}

    @property
    def rounds_kept(self) -> int:
        """How many of its rounds a rank must leave in the channel, so that none is removed while a peer reads it.

        A peer reads a rank's clock, then the frame of that round; in between, the rank can advance as far as its own
        wait for that peer allows.
        """
        return 2 * self._max_staleness + 3

    def __call__(self, call: CollectiveCall, values: Array, samples: int) -> Total:
        """Add this rank's part and the newest known part of every peer, in rank order.

        Raises:
            RanksMissing: A peer stayed too far behind until the deadline.
        """
        box = call.mailbox
        call.send(Place(call.round, call.step), Total(values, samples, call.flags))
        clock = self._clocks.own(call.round)
        box.held.add(call.round, clock)
        call.policy.store(clock)
        clocks = self._await_clocks(call)
        for rank, newest in clocks.items():
            known = self._newest.get(rank)
            if newest > 0 and (known is None or newest > known.round):
                place = Place(newest, call.step)
                self._newest |= call.collect(place, [rank], values)
        return add_in_order(self._newest, box.rank, Total(box.as_received(values, call.encoding), samples))

    def _await_clocks(self, call: CollectiveCall) -> dict[int, int]:
        backoff = AdaptiveBackoff(call.mailbox.world_size)
        wait = call.policy.wait(Place(call.round, call.step), call.timeout_s, backoff.delays())
        now, last = call.mailbox.clock.now, NOBODY
        missed_at: float | None = None
        while True:
            clocks = self._clocks.read(wait.poll(self._clocks.keys))
            lagging = sorted(rank for rank, clock in clocks.items() if clock < call.round - self._max_staleness)
            if not lagging:
                if missed_at is not None:
                    call.mailbox.waits.add(now() - missed_at, last)
                wait.finish()
                return clocks
            missed_at, last = now() if missed_at is None else missed_at, lagging[-1]
            wait.pause(lagging, progress=False)
