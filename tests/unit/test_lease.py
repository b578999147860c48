"""The lease: of several deliveries of one event, one goes on."""

import msgspec
import pytest

from training.errors import ChannelError, DuplicateDelivery
from training.exchange.channel.memory import MemoryChannel
from training.exchange.clock import Clock
from training.exchange.recovery.lease import HEARTBEAT_S, STANDS_STILL_S, Holder, Lease

KEY = "run/lease/1"


class Waiting:
    """Virtual time in which others go on while one waits."""

    def __init__(self, meanwhile=lambda: None):
        self.now, self._meanwhile = 0.0, meanwhile

    def sleep(self, seconds):
        """Lets time pass."""
        self.now += seconds
        self._meanwhile()

    def clock(self):
        """What a lease goes by."""
        return Clock(lambda: self.now, self.sleep)


def lease_on(channel, waiting=None, link=1, **revival):
    """A lease of this rank."""
    return Lease(lambda: channel, KEY, link, (waiting or Waiting()).clock(), **revival)


def test_the_first_takes_it_as_attempt_1():
    """Nothing is there: the lease is taken at once."""
    waiting = Waiting()
    lease = lease_on(MemoryChannel(), waiting)

    assert lease.acquire(1)
    assert (1, 1) == (lease.attempt, lease.tries)
    assert 0 == waiting.now


def test_a_second_delivery_leaves_a_holder_that_lives():
    """Its beat moves: the second one is told within a beat or two."""
    channel = MemoryChannel()
    holder = lease_on(channel)
    holder.acquire(1)
    waiting = Waiting(holder.heartbeat)

    assert not lease_on(channel, waiting).acquire(1)
    assert waiting.now < 2 * HEARTBEAT_S


def test_a_holder_that_stands_still_is_replaced():
    """After its beat has stood for a while the next attempt has the lease, and the old holder finds out."""
    channel, waiting = MemoryChannel(), Waiting()
    holder, retry = lease_on(channel), lease_on(channel, waiting)
    holder.acquire(1)

    assert retry.acquire(1)
    assert (2, 2) == (retry.attempt, retry.tries)
    assert STANDS_STILL_S <= waiting.now < STANDS_STILL_S + 0.2
    holder.heartbeat()
    with pytest.raises(DuplicateDelivery, match="taken run/lease/1 over"):
        holder.check()
    retry.heartbeat()
    retry.check()


def test_what_was_left_is_taken_at_once():
    """A try that failed in good order need not be watched; the next one counts on."""
    channel, waiting = MemoryChannel(), Waiting()
    first, second = lease_on(channel), lease_on(channel, waiting)
    first.acquire(1)
    first.leave()

    assert second.acquire(1)
    assert (2, 2) == (second.attempt, second.tries)
    assert 0 == waiting.now


class Unanswered(MemoryChannel):
    """A channel that stores a value, and whose answer is lost."""

    def add(self, key, value):
        """Adds the value, if it is not there."""
        if super().add(key, value):
            raise ChannelError("no answer")
        return False

    def replace_if(self, key, old, new):
        """Replaces the value once."""
        if super().replace_if(key, old, new):
            raise ChannelError("no answer")
        return False


def test_a_first_lease_whose_answer_was_lost_is_still_its_takers():
    """The key holds its own token at the next look: it does not watch itself for a dead try."""
    channel, waiting = Unanswered(), Waiting()
    lease = lease_on(channel, waiting)

    assert lease.acquire(1)
    assert 1 == lease.attempt
    assert waiting.now < STANDS_STILL_S


def test_a_take_over_whose_answer_was_lost_is_still_its_takers():
    """It does not leave because of itself, as nobody would run then."""
    channel, waiting = MemoryChannel(), Waiting()
    lease_on(channel).acquire(1)
    unanswered = Unanswered()
    unanswered.put_many({KEY: channel.get_many([KEY])[KEY]})
    retry = lease_on(unanswered, waiting)

    assert retry.acquire(2)
    assert (2, 2) == (retry.attempt, retry.tries)
    retry.check()


def test_the_next_link_counts_its_tries_anew():
    """Lambda tries each link's event twice more; the attempt still has a number of its own."""
    channel = MemoryChannel()
    first, following = lease_on(channel), lease_on(channel, link=2)
    first.acquire(1)
    first.leave()

    assert following.acquire(1)
    assert (2, 1) == (following.attempt, following.tries)


@pytest.mark.parametrize("holder_link", [1, 2])
def test_an_event_of_long_ago_is_left(holder_link):
    """A rank that is done, or further in its chain, is not begun again."""
    channel = MemoryChannel()
    holder = lease_on(channel, link=holder_link)
    holder.acquire(1)
    holder.leave(done=holder_link == 1)

    assert not lease_on(channel).acquire(1)


def test_a_lease_lost_with_the_cache_is_taken_again():
    """Memcached restarted empty: the holder goes on."""
    channel = MemoryChannel()
    holder = lease_on(channel)
    holder.acquire(1)
    channel.delete_many([KEY])

    holder.heartbeat()

    holder.check()
    assert holder.token == msgspec.msgpack.decode(channel.get_many([KEY])[KEY], type=Holder).token


class Moving:
    """A channel whose keys move from node to node."""

    def __init__(self, node):
        self.node = node

    def __getattr__(self, name):
        return getattr(self.node, name)


def test_a_holder_whose_key_moves_to_an_older_lease_goes_on():
    """The node held an earlier attempt's lease, before the key moved away from it: that try finds out."""
    one, another = MemoryChannel(), MemoryChannel()
    first = lease_on(one)
    first.acquire(1)
    another.add(KEY, one.get_many([KEY])[KEY])
    nodes = Moving(another)
    retry = lease_on(nodes, Waiting())
    retry.acquire(1)

    nodes.node = one
    retry.heartbeat()
    retry.check()
    first.heartbeat()

    with pytest.raises(DuplicateDelivery):
        first.check()


def test_of_two_equal_attempts_under_one_key_the_one_that_lives_there_goes_on():
    """Each took the lease on its own node, while they held different lists of nodes."""
    one, another = MemoryChannel(), MemoryChannel()
    nodes = Moving(one)
    there, comes = lease_on(another), lease_on(nodes)
    there.acquire(1)
    comes.acquire(1)

    nodes.node = another
    comes.heartbeat()
    comes.check()
    there.heartbeat()
    comes.heartbeat()

    there.check()
    with pytest.raises(DuplicateDelivery):
        comes.check()


def test_a_dead_try_of_the_same_number_does_not_end_a_holder():
    """Its lease stands still where the key has moved to: after a while it is overwritten."""
    one, another = MemoryChannel(), MemoryChannel()
    lease_on(another).acquire(1)
    nodes = Moving(one)
    holder = lease_on(nodes)
    holder.acquire(1)

    nodes.node = another
    for _ in range(1 + round(STANDS_STILL_S / HEARTBEAT_S)):
        holder.heartbeat()

    holder.check()
    assert holder.token == msgspec.msgpack.decode(another.get_many([KEY])[KEY], type=Holder).token


def test_of_many_at_once_one_gets_it():
    """Ten deliveries find a dead holder; one of them goes on."""
    channel = MemoryChannel()
    lease_on(channel).acquire(1)
    waiting = Waiting()
    takers = [lease_on(channel, waiting) for _ in range(10)]

    won = [taker for taker in takers if taker.acquire(1) and taker.leave() is None]

    assert [2 + index for index in range(10)] == [taker.attempt for taker in won]


def test_a_cache_that_does_not_answer_is_told_after_a_while():
    """The error is the channel's own, after the patience and no later."""

    def unreachable():
        raise ChannelError("Memcached at h:1 is not reachable")

    waiting = Waiting()

    with pytest.raises(ChannelError, match="h:1 is not reachable"):
        Lease(unreachable, KEY, 1, waiting.clock()).acquire(2)

    assert 2 <= waiting.now < 3


def test_a_revival_is_an_attempt_and_no_try_of_lambda_s():
    """Lambda's third try has the last word, however often peers have revived the rank in between."""
    channel = MemoryChannel()
    for revived in (False, True, True, False):
        lease = lease_on(channel, Waiting(), revived=revived)
        lease.acquire(1)
        lease.leave()

    assert (4, 2) == (lease.attempt, lease.tries)


def test_a_revival_takes_over_at_once_what_a_peer_has_watched():
    """Nothing has moved since. Lambda's retry of the revival finds another lease there, and watches that."""
    channel, waiting = MemoryChannel(), Waiting()
    lease_on(channel).acquire(1)
    stood_still = channel.get_many([KEY])[KEY]

    assert lease_on(channel, waiting, revived=True, stood_still=stood_still).acquire(1)
    assert 0 == waiting.now

    retry = lease_on(channel, waiting, revived=True, stood_still=stood_still)
    assert retry.acquire(1)
    assert waiting.now >= STANDS_STILL_S
    assert not lease_on(channel, Waiting(retry.heartbeat), revived=True, stood_still=stood_still).acquire(1)
