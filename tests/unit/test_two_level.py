"""The two-level collective: one fixed order of additions, whatever the size of groups and parts."""

import numpy as np
import pytest

from tests.support.ranks import exchange_of, on_all_ranks
from training.errors import RanksMissing
from training.exchange.channel.memory import MemoryChannel
from training.exchange.collectives.call import STEPS_PER_CALL, CollectiveCall
from training.exchange.collectives.two_level import WHOLE_UP_TO_BYTES, group_of, leaders_of, two_level
from training.exchange.frame import Encoding, Flag
from training.exchange.mailbox import Mailbox
from training.exchange.waiting import PlainPolicy

WORLD_SIZES = [1, 2, 3, 5, 8, 16]
# Group sums go to all leaders whole, or in slices.
SIZES = {"whole": 31, "slices": WHOLE_UP_TO_BYTES // 4 + 31}


def parts_of(world_size, size):
    """One part per rank, for which the order of the sum matters."""
    return np.random.default_rng(0).normal(scale=1e3, size=(world_size, size)).astype(np.float32)


def sum_by_groups(parts):
    """The sum that every rank must get, bit for bit: groups by rank, then the groups' sums."""
    total = None
    for leader in leaders_of(len(parts)):
        group = parts[leader].copy()
        for member in group_of(leader, len(parts))[1:]:
            group += parts[member]
        total = group if total is None else total + group
    return total


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 5, 10, 16, 17, 50, 1000])
def test_groups_divide_the_ranks(world_size):
    """Every rank is in the one group that its leader leads, and neither groups nor leaders are many."""
    groups = [group_of(leader, world_size) for leader in leaders_of(world_size)]

    assert list(range(world_size)) == [rank for group in groups for rank in group]
    assert all(group == group_of(rank, world_size) for group in groups for rank in group)
    assert max(len(groups), *map(len, groups)) - 1 < world_size**0.5 <= max(map(len, groups))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_rank_gets_the_sum_by_groups(world_size, size):
    """The result on every rank is, bit for bit, the sum of group sums, call after call and round after round."""
    channel, parts = MemoryChannel(), parts_of(world_size, size)

    def rank_main(rank):
        exchange = exchange_of(channel, rank, world_size, "two_level")
        totals = []
        for number in range(3):
            exchange.begin_round(number)
            totals += [exchange.all_reduce(parts[rank], rank + 1), exchange.all_reduce(parts[rank] * 2, 0)]
        return totals

    for totals in on_all_ranks(world_size, rank_main):
        for total, expected in zip(totals, [parts, 2 * parts] * 3, strict=True):
            assert sum_by_groups(expected).tobytes() == total.values.tobytes()
        assert [world_size * (world_size + 1) // 2, 0] * 3 == [total.samples for total in totals]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_up_to_three_ranks_add_as_the_flat_patterns_do(size):
    """With two groups of which one is a single rank, both orders are the same."""
    channel, parts = MemoryChannel(), parts_of(3, size)

    totals = on_all_ranks(3, lambda rank: exchange_of(channel, rank, 3, "two_level").all_reduce(parts[rank], 1))

    assert all((parts[0] + parts[1] + parts[2]).tobytes() == total.values.tobytes() for total in totals)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("asking", range(5))
def test_what_any_rank_asks_reaches_all(asking, size):
    """A flag of a leader or a member, in a full group or a smaller one, is in every rank's total."""
    channel = MemoryChannel()

    def rank_main(rank):
        mailbox = Mailbox(channel, run_id="run", rank=rank, world_size=5)
        flags = Flag.STOP if rank == asking else Flag(0)
        call = CollectiveCall(mailbox, PlainPolicy(channel, mailbox.keys), 0, 0, 20.0, None, flags)
        return two_level(call, np.ones(size, np.float32), 1).flags

    assert [Flag.STOP] * 5 == on_all_ranks(5, rank_main)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_float16_gives_every_rank_the_same_bits(size):
    """Rounded on each of its ways, the sum is one and the same on all ranks, and close to the exact one."""
    channel, parts = MemoryChannel(), parts_of(7, size)

    def rank_main(rank):
        exchange = exchange_of(channel, rank, 7, "two_level", update_encoding=Encoding.FLOAT16)
        return exchange.all_reduce_update(parts[rank], 1).values

    totals = on_all_ranks(7, rank_main)

    assert 1 == len({total.tobytes() for total in totals})
    np.testing.assert_allclose(totals[0], parts.sum(axis=0), rtol=2e-2, atol=20)


def test_parts_above_the_item_limit_are_chunked():
    """A part many times larger than the channel's limit arrives whole."""
    channel, parts = MemoryChannel(max_value_bytes=1000), parts_of(5, 5000)

    totals = on_all_ranks(5, lambda rank: exchange_of(channel, rank, 5, "two_level").all_reduce(parts[rank], 1))

    assert all(sum_by_groups(parts).tobytes() == total.values.tobytes() for total in totals)


def test_a_member_that_waits_names_its_leader():
    """Rank 4 of five waits for rank 3 alone, in the last of the call's steps."""
    exchange = exchange_of(MemoryChannel(), 4, 5, "two_level", timeout_s=0.1)

    with pytest.raises(RanksMissing, match=rf"round 0, step {STEPS_PER_CALL - 1}: nothing from rank 3 within"):
        exchange.all_reduce(np.zeros(3, np.float32), 1)


def test_a_leader_that_waits_names_its_members():
    """Rank 0 of five waits for its own group first."""
    exchange = exchange_of(MemoryChannel(), 0, 5, "two_level", timeout_s=0.1)

    with pytest.raises(RanksMissing, match=r"round 0, step 0: nothing from rank 1, 2 within"):
        exchange.all_reduce(np.zeros(3, np.float32), 1)
