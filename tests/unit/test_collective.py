"""The collectives: all ranks get the same sum, bit for bit, in rank order."""

import time
from typing import get_args

import numpy as np
import pytest

from tests.support.ranks import exchange_of, on_all_ranks
from training.errors import ChannelError, FrameError, RanksMissing, RunAborted
from training.exchange.channel.memory import MemoryChannel
from training.exchange.collectives.cost_model import Link, probe
from training.exchange.collectives.registry import EXACT, REGISTRY, quickest
from training.exchange.frame import Encoding
from training.exchange.run_signals import abort_run
from training.job_fields import SyncMode

MODES = sorted(EXACT)


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
@pytest.mark.parametrize("size", [5000, 60_000])
def test_parts_above_the_item_limit_are_chunked(mode, size):
    """A part many times larger than the channel's limit arrives whole, received in place or not."""
    channel, parts = MemoryChannel(max_value_bytes=1000), parts_of(3, size=size)

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
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("mode", MODES)
def test_an_abort_ends_waiting_ranks_at_once_with_the_cause(mode):
    """A rank that waits learns of another's failure long before its own deadline."""
    channel = MemoryChannel()
    abort_run(channel, "run", "rank 1: the data is bad")
    started = time.monotonic()

    with pytest.raises(RunAborted, match="rank 1: the data is bad"):
        exchange_of(channel, 0, 2, mode).all_reduce(np.zeros(3, np.float32), 1)

    assert time.monotonic() - started < 10


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
    channel.put_many({"run/0/0/1": b"x" * 100})

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
        MemoryChannel(max_value_bytes=10).put_many({"key": b"x" * 11})


@pytest.mark.parametrize("mode", MODES)
def test_float16_gives_every_rank_the_same_bits(mode):
    """Rounded on the way, the sum is still one and the same on all ranks, and close to the exact one."""
    channel, parts = MemoryChannel(), parts_of(4)

    def rank_main(rank):
        exchange = exchange_of(channel, rank, 4, mode, update_encoding=Encoding.FLOAT16)
        total = exchange.all_reduce_update(parts[rank], 1)
        return total.values, exchange.report()

    totals, reports = zip(*on_all_ranks(4, rank_main), strict=True)

    assert 1 == len({total.tobytes() for total in totals})
    np.testing.assert_allclose(totals[0], sum_in_rank_order(parts), rtol=2e-2, atol=5)
    assert all(0 < report["relative_error"] < 1e-3 for report in reports)


def test_auto_takes_the_pattern_that_its_model_says():
    """Two ranks gather; many ranks with small parts reduce, with large parts reduce and scatter."""
    assert "all_gather" == quickest(2, 128)
    assert "reduce" == quickest(64, 128)
    assert "reduce_scatter" == quickest(8, 4_000_000)


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_auto_is_exact(world_size):
    """Whatever `auto` chooses, the sum is that of the other modes, and the choice is in the report."""
    channel, parts = MemoryChannel(), parts_of(world_size)

    def rank_main(rank):
        exchange = exchange_of(channel, rank, world_size, "auto")
        return exchange.all_reduce_update(parts[rank], 1).values.tobytes(), exchange.report()["collectives"]

    answers = on_all_ranks(world_size, rank_main)

    assert {sum_in_rank_order(parts).tobytes()} == {values for values, _ in answers}
    assert [quickest(world_size, parts[0].nbytes)] == answers[0][1]


@pytest.mark.parametrize(
    ("latency_s", "bytes_per_s", "chosen"), [(1e-5, 1e9, "all_gather"), (1e-5, 1e6, "reduce_scatter")]
)
def test_the_model_goes_by_the_link(latency_s, bytes_per_s, chosen):
    """On a quick link four ranks gather 20 KB, on a narrow one they reduce and scatter them."""
    assert chosen == quickest(4, 20_000, Link(latency_s, bytes_per_s))


def test_a_job_can_ask_for_every_collective():
    """The job's choices are the registry's names, `auto` and the stale one."""
    assert {*REGISTRY, "async", "auto"} == set(get_args(SyncMode))


class SlowStore(MemoryChannel):
    """A store behind a link, in virtual time."""

    def __init__(self, link, **options):
        super().__init__(**options)
        self.link, self.now = link, 0.0

    def round_trip(self, values, keys, buffers=None):
        """As the store in memory, and time goes by."""
        found = super().round_trip(values, keys, buffers)
        moved = sum(map(len, [*values.values(), *found.values()]))
        self.now += self.link.latency_s + moved / self.link.bytes_per_s
        return found


@pytest.mark.parametrize("limit", [1_000, 1_000_000])
def test_the_probe_tells_how_a_store_is_reached(limit):
    """Latency and bandwidth are found whatever the store's item limit, and nothing is left behind."""
    store = SlowStore(Link(2e-4, 5e7), max_value_bytes=limit)

    found = probe(store, "run/probe", lambda: store.now)

    assert (2e-4, 5e7) == pytest.approx((found.latency_s, found.bytes_per_s))
    assert {} == store.get_many(["run/probe"])


class ForgetfulStore(SlowStore):
    """A store that lets go of what it has just taken."""

    def round_trip(self, values, keys, buffers=None):
        """As a store that evicts at once."""
        super().round_trip(values, keys, buffers)
        return {}


@pytest.mark.parametrize("store", [SlowStore(Link(0.95, 1e6)), SlowStore(Link(1e-4, 1e5)), ForgetfulStore(Link())])
def test_a_store_that_is_slow_or_loses_values_is_not_measured(store):
    """The first slow answer ends it; half a measurement is none."""
    assert probe(store, "run/probe", lambda: store.now) is None
    assert store.now < 2


def test_a_measured_link_never_chooses_where_the_bits_depend_on_it():
    """Parts that travel as float16 are added in another precision by each collective: those go by constants."""
    quick, narrow = Link(1e-5, 1e9), Link(1e-5, 1e6)
    channel, parts = MemoryChannel(), parts_of(4, size=5_000)

    def collectives(link, encoding, run):
        def rank_main(rank):
            exchange = exchange_of(channel, rank, 4, "auto", run_id=run, link=link, update_encoding=encoding)
            exchange.all_reduce_update(parts[rank], 1)
            return exchange.report()["collectives"]

        return on_all_ranks(4, rank_main)[0]

    exact = [collectives(link, Encoding.FLOAT32, f"exact-{link.bytes_per_s}") for link in (quick, narrow)]
    rounded = [collectives(link, Encoding.FLOAT16, f"rounded-{link.bytes_per_s}") for link in (quick, narrow)]

    assert [["all_gather"], ["reduce_scatter"]] == exact
    assert rounded[0] == rounded[1]


def test_async_does_not_wait_for_a_peer_within_its_staleness():
    """A rank gets `max_staleness` rounds ahead of a silent peer, and no further."""
    exchange = exchange_of(MemoryChannel(), 0, 2, "async", timeout_s=0.2, max_staleness=3)

    for number in (1, 2, 3):
        exchange.begin_round(number)
        assert 1 == exchange.all_reduce_update(np.ones(2, np.float32), 1).samples
    exchange.begin_round(4)
    with pytest.raises(RanksMissing, match="nothing from rank 1"):
        exchange.all_reduce_update(np.ones(2, np.float32), 1)


def test_async_takes_the_newest_of_each_peer():
    """A rank that comes late finds the peer's last part, not its first."""
    channel = MemoryChannel()
    ahead = exchange_of(channel, 1, 2, "async", max_staleness=5)
    for number in range(1, 5):
        ahead.begin_round(number)
        ahead.all_reduce_update(np.full(2, number, np.float32), 10)
    late = exchange_of(channel, 0, 2, "async", max_staleness=5)
    late.begin_round(1)

    total = late.all_reduce_update(np.full(2, 100, np.float32), 1)

    assert [104, 104] == total.values.tolist()
    assert 11 == total.samples


def test_async_ranks_of_any_speed_come_through():
    """Four ranks with random pauses end; what lies in the channel stays bounded."""
    channel = MemoryChannel()

    def rank_main(rank):
        exchange = exchange_of(channel, rank, 4, "async", max_staleness=2)
        pauses = np.random.default_rng(rank).exponential(3e-4, 200)
        for number, pause in enumerate(pauses, start=1):
            exchange.begin_round(number)
            exchange.all_reduce_update(np.ones(3, np.float32), 1)
            time.sleep(pause)
        return exchange.all_reduce(np.ones(3, np.float32), 1).samples

    assert [4] * 4 == on_all_ranks(4, rank_main)
    assert len(channel.all_keys()) < 4 * 12
