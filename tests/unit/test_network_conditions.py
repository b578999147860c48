"""The conditions of an emulated network, by a virtual clock."""

import numpy as np
import pytest

from harness.network.conditions import Draws, FunctionNetwork, NetworkOfFunctions, SharedCable, Tally, TokenBucket
from harness.presets.distribution import Constant, distribution
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.presets.zones import CACHE_ZONE, ZONES

MB = 1_000_000


def bucket(now=0.0, burst=300.0, base=77.5, pulse_s=0.1):
    """Return a function's bucket as AWS's was measured."""
    return TokenBucket(burst * MB, 1200 * MB, base * MB, pulse_s, now)


def transfer(one, megabytes, now, chunk=0.25):
    """Send this much in chunks without a pause; return when each has passed."""
    passed = []
    for _ in range(round(megabytes / chunk)):
        now = one.pass_bytes(chunk * MB, now)
        passed.append(now)
    return passed


def emulated(**changes):
    """Return the default preset as a network."""
    preset = load_preset()
    figures = {name: figure.value for name, figure in preset.figures.items()}
    return EmulatedNetwork(preset=preset.name, figures=figures, **changes)


def test_a_burst_passes_at_its_bandwidth_and_then_pulses_keep_the_base():
    """300 MB take a quarter of a second; after that, 10 s carry 775 MB."""
    one = bucket()

    passed = transfer(one, 1080, 0.0)

    assert passed[1199] == pytest.approx(0.25)
    assert passed[1199 + 4 * 775] == pytest.approx(10.25, abs=0.11)


def test_bytes_pass_in_pulses():
    """After the burst, the bytes of a pulse pass within a few ms, and nothing passes until the next."""
    one = bucket()
    transfer(one, 300, 0.0)

    gaps = np.diff([0.25, *transfer(one, 77.5, 0.25)])

    assert 10 == np.count_nonzero(gaps > 0.05)
    assert np.median(gaps) == pytest.approx(0.25 / 1200)


def test_one_transfer_passes_as_the_same_bytes_in_chunks():
    """The size of the pieces in which bytes arrive makes no difference."""
    whole, pieces = bucket(), bucket()

    assert whole.pass_bytes(500 * MB, 0.0) == pytest.approx(transfer(pieces, 500, 0.0)[-1])


def test_an_idle_bucket_fills_at_the_base_rate_up_to_the_burst():
    """After 1 s of silence 77.5 MB pass at once; after an hour 300 MB, not more."""
    one = bucket()
    one.pass_bytes(300 * MB, 0.0)

    soon = one.pass_bytes(77 * MB, 1.3) - 1.3
    late = one.pass_bytes(301 * MB, 3600.0) - 3600.0

    assert soon == pytest.approx(77 / 1200)
    assert 0.25 < late < 0.36


def test_traffic_below_the_base_rate_lets_the_bucket_fill():
    """50 MB/s in many small pieces do not drain a bucket that 77.5 MB/s fill."""
    one = bucket()
    one.pass_bytes(300 * MB, 0.0)

    for number in range(5000):
        one.pass_bytes(0.1 * MB, 0.5 + 0.002 * number)

    assert one.pass_bytes(250 * MB, 10.5) - 10.5 == pytest.approx(250 / 1200)


def test_without_pulses_the_base_is_continuous():
    """With a pulse of 0 ms, each byte behind the burst takes its time at the base rate."""
    one = bucket(pulse_s=0.0)

    assert one.pass_bytes(377.5 * MB, 5.0) == pytest.approx(6.25)


def test_without_a_burst_the_first_bytes_wait_for_a_pulse():
    """A bucket of 0 MB grants its base rate from the first byte on."""
    one = bucket(burst=0.0)

    assert one.pass_bytes(1 * MB, 0.0) == pytest.approx(0.1 + 1 / 1200)


def test_those_who_share_a_cable_share_its_bandwidth():
    """Two transfers at once take as long as both one after the other."""
    cable = SharedCable(630 * MB)

    assert [cable.pass_bytes(63 * MB, 1.0), cable.pass_bytes(63 * MB, 1.0)] == pytest.approx([1.1, 1.2])


def test_draws_repeat_by_their_seed_and_follow_the_distribution():
    """The same seed gives the same sequence, another one another, and the median is the preset's."""
    value = distribution({"p50": 27.0, "p99": 105.0})
    first, again, other = (Draws(value, seed, 1e-3) for seed in [(1, 0), (1, 0), (2, 0)])

    drawn = [first.draw() for _ in range(5000)]

    assert drawn == [again.draw() for _ in range(5000)]
    assert drawn[:5] != [other.draw() for _ in range(5)]
    assert np.median(drawn) == pytest.approx(0.027, rel=0.05)


def test_a_function_in_the_other_zone_has_the_longer_trip():
    """In the cache's zone a trip is 0.66 ms, in another one 1.66 ms."""
    near, far = (FunctionNetwork(emulated(), 0, zone, 0.0) for zone in (CACHE_ZONE, ZONES[1]))

    medians = [1e3 * np.median([one.draw_s(one.store) for _ in range(2000)]) for one in (near, far)]

    assert medians == pytest.approx([0.66, 1.66], rel=0.05)


def test_environments_have_draws_of_their_own():
    """Two environments of one run draw different values, and a second run the same as the first."""

    def draws():
        functions = NetworkOfFunctions(emulated(seed=7))
        return [functions.of_environment(name, CACHE_ZONE, 0.0).draw_s("store_latency") for name in "ab"]

    first = draws()

    assert first[0] != first[1]
    assert first == draws()


def test_many_functions_share_the_vpc():
    """128 functions have 47 MB/s each in the long run; when most have ended, the rest has a function's own rate."""
    functions = NetworkOfFunctions(emulated())
    each = [functions.of_environment(str(number), CACHE_ZONE, 0.0) for number in range(128)]
    crowded = each[0].sent.base_rate

    functions.keep(["0", "1"])

    assert crowded == pytest.approx(47 * MB)
    assert each[0].sent.base_rate == pytest.approx(77.5 * MB)
    assert functions.of_environment("0", CACHE_ZONE, 1.0) is each[0]


def test_cache_and_s3_share_a_functions_bucket():
    """What is sent to S3 is missing for the cache."""
    one = FunctionNetwork(emulated(), 0, CACHE_ZONE, 0.0)
    one.sent.pass_bytes(300 * MB, 0.0)

    assert one.sent.pass_bytes(1 * MB, 0.25) > 0.3
    assert one.received.pass_bytes(1 * MB, 0.25) == pytest.approx(0.25 + 1 / 1200)


def test_the_tally_tells_drawn_from_delivered():
    """Percentiles are by kind and zone."""
    tally = Tally()
    for number in range(1, 102):
        tally.add("store_latency", "use1-az1", number / 1000, number / 1000 + 0.0001)

    (figures,) = tally.figures()

    assert (figures.kind, figures.zone, figures.trips) == ("store_latency", "use1-az1", 101)
    assert (figures.drawn_ms["p50"], figures.delivered_ms["p50"]) == (51.0, 51.1)


def test_a_number_in_place_of_a_distribution_is_drawn_as_it_is():
    """`--set store_latency=0.6` makes every trip 0.6 ms."""
    network = emulated()
    network = EmulatedNetwork(preset="mine", figures={**network.figures, "store_latency": Constant(0.6)})

    assert FunctionNetwork(network, 0, CACHE_ZONE, 0.0).draw_s("store_latency") == pytest.approx(0.0006)
