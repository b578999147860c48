"""Recovery against a real memcached that is killed, stands still, or is small."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from tests.support.caches import Cache
from tests.support.ranks import on_all_ranks
from training.errors import ChannelError, ChannelSilent, RanksMissing
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.lease import Lease
from training.exchange.recovery.recovery import Recovery

RANKS, ROUNDS = 3, 400


@pytest.fixture
def cache():
    """A running one."""
    cache = Cache()
    cache.start()
    yield cache
    cache.close()


def rounds_on(cache, meanwhile, timeout_s=30.0):
    """What all ranks get in all rounds, while something happens to the cache; and the longest round of any rank.

    Rank 0 stays between two rounds until the trouble has begun, however quick the rounds are.

    Args:
        cache: The cache of all ranks.
        meanwhile: Takes a function, which it calls as soon as the cache is in trouble.
        timeout_s: How long ranks wait.
    """
    under_way, in_trouble = threading.Event(), threading.Event()
    longest = 0.0

    def rank_main(rank):
        nonlocal longest
        with closing(MemcachedChannel("127.0.0.1", cache.port)) as channel:
            mailbox = Mailbox(channel, run_id="run", rank=rank, world_size=RANKS)
            recovery = Recovery(mailbox, token=f"{rank}.1")
            timeouts = {"join_timeout_s": timeout_s, "round_timeout_s": timeout_s}
            exchange = Exchange(mailbox, "reduce", **timeouts, recovery=recovery)
            exchange.start()
            values = np.float32([rank, 1, 0.1])
            for number in range(1, ROUNDS + 1):
                started = time.monotonic()
                exchange.begin_round(number)
                values = exchange.all_reduce(np.sin(values + rank), 1).values
                longest = max(longest, time.monotonic() - started)
                if number == ROUNDS // 4 and rank == 0:
                    under_way.set()
                    in_trouble.wait(timeout_s)
            exchange.finish(ROUNDS, None)
            return values.tolist()

    # A process dies with the thread that started it, so the cache's trouble happens in this one.
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(on_all_ranks, RANKS, rank_main)
        under_way.wait(timeout_s)
        meanwhile(in_trouble.set)
        return answers.result(), longest


def test_a_restart_costs_its_downtime_and_little_more(cache):
    """Killed and back empty after a second: the same bits on all ranks."""
    undisturbed, _ = rounds_on(cache, lambda begun: begun())
    times = []

    def restart(begun):
        times.append(time.monotonic())
        cache.kill()
        begun()
        time.sleep(1)  # the downtime itself
        cache.start()
        times.append(time.monotonic())

    cache.kill()
    cache.start()
    answers, longest = rounds_on(cache, restart)

    assert undisturbed == answers
    down_s = times[1] - times[0]
    # A second more on a machine of its own; a rank that waited for its timeout would need 30.
    assert 0.9 < longest < down_s + 5


def test_a_cache_that_stands_still_for_three_seconds_is_waited_for(cache):
    """As a network that is cut: the same bits, and not much more than the cut."""
    undisturbed, _ = rounds_on(cache, lambda begun: begun())
    times = []

    def stand_still(begun):
        times.append(time.monotonic())
        cache.send(signal.SIGSTOP)
        begun()
        time.sleep(3)  # the cut itself
        cache.send(signal.SIGCONT)
        times.append(time.monotonic())

    cache.kill()
    cache.start()
    answers, longest = rounds_on(cache, stand_still)

    assert undisturbed == answers
    assert 2.9 < longest < times[1] - times[0] + 5


def test_a_cache_that_never_comes_back_is_one_error(cache):
    """The error tells the address and how long it was tried."""
    with pytest.raises(ChannelError, match=rf"127\.0\.0\.1:{cache.port}.* \(tried for \d\.\d s\)"):
        rounds_on(cache, lambda begun: (cache.kill(), begun()), timeout_s=2.0)


def test_a_cache_that_stands_still_while_workers_start_is_waited_for(cache):
    """It accepts connections, so its address is right: it is retried for longer than one that refuses them."""
    with ThreadPoolExecutor(1) as pool:
        cache.send(signal.SIGSTOP)
        lease = Lease(lambda: MemcachedChannel("127.0.0.1", cache.port, 0.2), "run/lease/0", 1)
        taken = pool.submit(lease.acquire, 0.1, 10.0)
        time.sleep(1)  # the stop itself
        cache.send(signal.SIGCONT)

        assert taken.result(30)
        lease.leave()


def test_a_cache_that_stands_still_is_given_up_in_the_end(cache):
    """The error is of its own kind, for discovery too, and says how long an answer was waited for."""
    cache.send(signal.SIGSTOP)
    lease = Lease(lambda: MemcachedChannel("127.0.0.1", cache.port, 0.1), "run/lease/0", 1)

    with pytest.raises(ChannelSilent, match=r"no answer within 0\.1 s"):
        lease.acquire(0.1, 0.3)

    cache.send(signal.SIGCONT)


@pytest.fixture
def small_cache():
    """One with the least memory that memcached takes; an item may have half of it."""
    cache = Cache("-m", "1", "-I", "512k")
    cache.start()
    yield cache
    cache.close()


def test_a_cache_that_is_too_small_says_what_to_set(small_cache):
    """One that has evicted what was stored: its memory is told, and what to change."""
    with closing(MemcachedChannel("127.0.0.1", small_cache.port)) as channel:
        assert channel.diagnosis() == ""
        for number in range(4000):
            channel.put_many({f"run/1/0/{number}": bytes(500)})

        assert "has evicted" in channel.diagnosis()
        assert "its memory is 1 MB; start memcached with more (-m 256)" in channel.diagnosis()


def test_a_wait_for_evicted_frames_ends_with_the_cause(small_cache):
    """The deadline's error names the cache's evictions beside the rank that is missing."""
    with closing(MemcachedChannel("127.0.0.1", small_cache.port)) as channel:
        for number in range(4000):
            channel.put_many({f"run/1/0/{number}": bytes(500)})
        mailbox = Mailbox(channel, run_id="run", rank=0, world_size=2)
        recovery = Recovery(mailbox, token="0.1")
        exchange = Exchange(mailbox, "all_gather", join_timeout_s=0.5, round_timeout_s=0.5, recovery=recovery)
        exchange.start()

        with pytest.raises(RanksMissing, match=r"nothing from rank 1 .*; Memcached at .* has evicted \d+ values"):
            exchange.all_reduce(np.ones(2, np.float32), 1)
