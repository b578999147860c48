"""When a rank that waits revives another one: leases and positions go in, dead ranks come out."""

import msgspec
import pytest

from training.errors import ImpossibleValue
from training.exchange.channel.memory import MemoryChannel
from training.exchange.clock import Clock
from training.exchange.keys import Place
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.lease import HEARTBEAT_S, STANDS_STILL_S, Holder, LeaseState
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.revival import MOST_REVIVALS, DeadRank, LeaseWatch, patience_s
from training.exchange.recovery.rules import Phase

STEP_S = 0.1
KEYS = {0: "run/lease/0", 2: "run/lease/2"}


class Watching:
    """Rank 1 of three, which waits for rank 2 in virtual time."""

    def __init__(self, link=1):
        self.watch, self.now = LeaseWatch(1, [0, 2], link), 0.0

    def dead(self, lease, seconds=STANDS_STILL_S + 3 * STEP_S, *, waiting=(), joined=True):
        """Who is dead after that time, in which the lease is read again and again; a callable moves it."""
        end, found = self.now + seconds, []
        while self.now < end and not found:
            self.now += STEP_S
            holder = lease(self.now) if callable(lease) else lease
            alive = msgspec.msgpack.encode(Holder("of rank 0", heartbeat=int(self.now / STEP_S)))
            value = None if holder is None else msgspec.msgpack.encode(holder)
            self.watch.see({rank: alive if rank == 0 else value for rank in self.watch.ranks}, self.now)
            self.watch.choose(waiting)
            found = self.watch.dead(KEYS, self.now, all_joined=joined)
        return found


def test_a_lease_that_stands_still_is_of_a_dead_rank():
    """After `STANDS_STILL_S`, and not before; its link is the one that died."""
    watching = Watching()

    assert [] == watching.dead(Holder("a", link=2), STANDS_STILL_S)
    (dead,) = watching.dead(Holder("a", link=2))
    assert (2, 2, 0) == dead[:3]
    assert dead.stood_still_s >= STANDS_STILL_S


def test_a_lease_that_moves_is_of_a_rank_that_computes():
    """However long it does."""
    assert [] == Watching().dead(lambda now: Holder("a", heartbeat=int(now / HEARTBEAT_S)), 100)


@pytest.mark.parametrize(
    ("lease", "dead"),
    [
        # A try that failed for a temporary reason has given the lease back.
        (Holder("a", state=LeaseState.LEFT), True),
        (Holder("a", state=LeaseState.DONE), False),
        # The cache was restarted, and nobody has added the lease again.
        (None, True),
    ],
)
def test_what_a_lease_that_is_not_held_means(lease, dead):
    """Only a rank that is done needs nothing more."""
    assert dead == bool(Watching().dead(lease))


def test_a_rank_that_was_never_there_starts_late():
    """In round 0 nobody can tell a slow cold start from a lost one; Lambda has the event."""
    watching = Watching()

    assert [] == watching.dead(None, 100, joined=False)
    assert [] == watching.dead(Holder("a"), STANDS_STILL_S / 2, joined=False)
    assert watching.dead(None, joined=False)


def test_the_next_link_of_a_chain_starts_late():
    """Its lease is as the link before has left it; a link that died before that has not left it."""
    assert [] == Watching(link=2).dead(Holder("a", link=1, state=LeaseState.LEFT), 100)
    (dead,) = Watching(link=2).dead(Holder("a", link=1))
    assert 1 == dead.link


def test_a_link_that_no_rank_can_have_reached_is_revived_by_nobody():
    """Each link counts its own revivals: forged ones would have peers invoke again and again."""
    assert [] == Watching(link=2).dead(Holder("a", link=4), 100)
    assert Watching(link=2).dead(Holder("a", link=3))


def test_the_lowest_of_those_that_wait_watches_and_revives():
    """Nobody else reads leases; a lower rank that has died no longer waits."""
    watching = Watching()

    assert [] == watching.dead(Holder("a"), waiting=[0])
    assert [] == watching.watch.ranks
    assert watching.dead(Holder("a"))
    assert [] == Watching().dead(Holder("a"), waiting=[2])


def test_every_revival_waits_longer_than_the_one_before_and_there_are_few():
    """A rank that dies again and again is not invoked in a loop."""
    watching, waited_s = Watching(), []

    for revivals in range(1, MOST_REVIVALS + 1):
        began = watching.now
        (dead,) = watching.dead(Holder("a"), 100)
        waited_s.append(watching.now - began)
        watching.watch.revived(dead, revivals, watching.now)

    assert [patience_s(n) for n in range(MOST_REVIVALS)] == pytest.approx(waited_s, abs=3 * STEP_S)
    assert [] == watching.dead(Holder("a"), 1000)
    assert watching.dead(Holder("b", link=2), 100)  # the next link is another function's life


def test_who_could_not_look_for_a_while_starts_again():
    """The network was cut for this rank, or for the other: what stood still meanwhile says nothing."""
    watching = Watching()
    watching.dead(Holder("a"), STANDS_STILL_S - STEP_S)
    watching.now += 60

    assert [] == watching.dead(Holder("a"), STANDS_STILL_S - STEP_S)


def test_a_lease_that_nobody_can_have_written_is_refused():
    """As everywhere: with its key."""
    watch = LeaseWatch(1, [0, 2], 1)
    watch.choose([])
    watch.see({2: b"\x01"}, 0.0)

    with pytest.raises(ImpossibleValue, match="run/lease/2"):
        watch.dead(KEYS, 5.0, all_joined=True)


class Said(list[DeadRank]):
    """The ranks that were revived."""

    def __call__(self, dead):
        """Note it."""
        self.append(dead)
        return 1


def test_what_a_poll_did_not_read_is_not_gone():
    """The last poll before a wait becomes long reads frames alone: a lease that is back by then is not missed."""
    time, channel, revived = [0.0], MemoryChannel(), Said()
    clock = Clock(lambda: time[0], lambda _seconds: None)
    mailbox = Mailbox(channel, run_id="run", rank=0, world_size=2, clock=clock)
    recovery = Recovery(mailbox, token="t", revive=revived)
    recovery.start(None, {})
    recovery.begin_round(5, None, Phase.TRAINING, 30.0)
    while time[0] < STANDS_STILL_S - STEP_S:
        recovery.help(Place(5, 0), [1], channel.get_many(recovery.watched()), 0.0)
        time[0] += STEP_S

    time[0] += 3 * STEP_S
    recovery.help(Place(6, 0), [1], {}, time[0])

    assert [] == revived
    while time[0] < 4 * STANDS_STILL_S:
        recovery.help(Place(6, 0), [1], channel.get_many(recovery.watched()), 0.0)
        time[0] += STEP_S
    assert [1] == [dead.rank for dead in revived]
