"""The collectives: all ranks get the same sum, bit for bit, in rank order."""

import time

import numpy as np
import pytest

from tests.support.ranks import exchange_of, on_all_ranks
from training.errors import ChannelError, FrameError, RanksMissing, RunAborted
from training.exchange.collective import COLLECTIVES
from training.exchange.memory import MemoryChannel

MODES = sorted(COLLECTIVES)


def parts_of(world_size, size=31, seed=0):
    """One part per rank, large enough for the order of the sum to matter."""
    return np.random.default_rng(seed).normal(scale=1e3, size=(world_size, size)).astype(np.float32)


def sum_in_rank_order(parts):
    """The sum that every rank must get, bit for bit."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_every_rank_gets_the_sum_in_rank_order(mode, world_size):
    """The result on every rank equals, bit for bit, the parts added from rank 0 upwards."""
    channel, parts = MemoryChannel(), parts_of(world_size)

    def rank_main(rank):
        exchange = exchange_of(channel, rank, world_size, mode)
        totals = []
        for number in range(4):
            exchange.begin_round(number)
            totals += [exchange.all_reduce(parts[rank], rank + 1), exchange.all_reduce(parts[rank] * 2, 0)]
        return totals

    for totals in on_all_ranks(world_size, rank_main):
        for total, expected in zip(totals, [parts, 2 * parts] * 4, strict=True):
            assert sum_in_rank_order(expected).tobytes() == total.values.tobytes()
        assert world_size * (world_size + 1) // 2 == totals[0].samples


@pytest.mark.parametrize("mode", MODES)
def test_parts_above_the_item_limit_are_chunked(mode):
    """A part many times larger than the channel's limit arrives whole."""
    channel, parts = MemoryChannel(max_value_bytes=1000), parts_of(3, size=5000)

    totals = on_all_ranks(3, lambda rank: exchange_of(channel, rank, 3, mode).all_reduce(parts[rank], 1))

    assert all(sum_in_rank_order(parts).tobytes() == total.values.tobytes() for total in totals)


@pytest.mark.parametrize("mode", MODES)
def test_a_missing_rank_is_named_when_the_deadline_passes(mode):
    """Rank 0 alone of three gives up after its timeout and names ranks 1 and 2."""
    exchange = exchange_of(MemoryChannel(), 0, 3, mode, timeout_s=0.1)
    started = time.monotonic()

    with pytest.raises(RanksMissing, match=r"round 0, step 0: nothing from rank 1, 2 within 0\.1 s") as caught:
        exchange.all_reduce(np.zeros(3, np.float32), 1)

    assert (1, 2) == caught.value.missing
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("mode", MODES)
def test_an_abort_ends_waiting_ranks_at_once_with_the_cause(mode):
    """A rank that waits learns of another's failure long before its own deadline."""
    channel = MemoryChannel()
    exchange_of(channel, 1, 2, mode).mailbox.abort("the data is bad")
    started = time.monotonic()

    with pytest.raises(RunAborted, match="rank 1: the data is bad"):
        exchange_of(channel, 0, 2, mode).all_reduce(np.zeros(3, np.float32), 1)

    assert time.monotonic() - started < 2


def test_runs_that_share_a_channel_do_not_meet():
    """Two runs with the same ranks and rounds on one channel get their own sums."""
    channel = MemoryChannel()

    def rank_main(index):
        run, rank = divmod(index, 2)
        exchange = exchange_of(channel, rank, 2, "all_gather", run_id=f"run-{run}")
        return exchange.all_reduce(np.full(2, 10.0**run, np.float32), 1).values[0]

    assert [2, 2, 20, 20] == on_all_ranks(4, rank_main)


def test_a_foreign_value_under_a_key_is_refused():
    """Bytes that are no frame lead to an error that says so, not to a wrong sum."""
    channel = MemoryChannel()
    channel.put("run/0/0/1", b"x" * 100)

    with pytest.raises(FrameError, match="begins with"):
        exchange_of(channel, 0, 2, "all_gather").all_reduce(np.zeros(2, np.float32), 1)


@pytest.mark.parametrize("mode", MODES)
def test_the_channel_keeps_no_more_than_the_last_two_rounds(mode):
    """However many rounds are done, what lies in the channel stays bounded."""
    channel = MemoryChannel()

    def rank_main(rank):
        exchange = exchange_of(channel, rank, 2, mode)
        for number in range(50):
            exchange.begin_round(number)
            exchange.all_reduce(np.zeros(3, np.float32), 1)

    on_all_ranks(2, rank_main)

    rounds = {int(key.split("/")[1]) for key in channel.all_keys()}
    assert {48, 49} == rounds


def test_the_memory_channel_refuses_what_a_store_would():
    """A value above the limit is refused with its size, as Memcached does."""
    with pytest.raises(ChannelError, match="11 bytes, the limit is 10"):
        MemoryChannel(max_value_bytes=10).put("key", b"x" * 11)
