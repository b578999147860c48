"""Figures from samples whose truth is known."""

import math

import numpy as np
import pytest

from harness.calibrate.estimators import (
    bandwidth_mb_s,
    burst_mb,
    fan_out,
    fit_quantiles,
    pulse_ms,
    request_limit,
    transfer_phases,
)
from harness.network.conditions import TokenBucket
from harness.presets.distribution import ByCount, distribution

BIN_S = 0.005


@pytest.mark.parametrize(
    ("quantiles", "count"),
    [
        ({"p50": 27.0, "p99": 60.0}, 1500),
        ({"p50": 146.0, "p90": 270.0, "p99": 340.0}, 1500),
        ({"mean": 0.66, "min": 0.5, "max": 0.91}, 400),
    ],
)
def test_the_quantiles_of_a_distribution_are_found(quantiles, count):
    """Median and tail within 10 %, whatever the form in which a preset gives it."""
    truth = distribution(quantiles)

    found = fit_quantiles(truth.sample(np.random.default_rng(3), count).tolist())

    assert truth.quantile(0.5) == pytest.approx(found.quantiles["p50"], rel=0.1)
    assert truth.quantile(0.99) == pytest.approx(found.quantiles["p99"], rel=0.1)
    assert count == found.samples


def test_a_kinked_tail_has_a_second_piece():
    """Where p99 does not go on from p50 as p90 does, p90 is given as well, and p99 is right."""
    kinked = distribution({"p50": 100.0, "p90": 300.0, "p99": 330.0})
    plain = distribution({"p50": 100.0, "p99": 330.0})
    rng = np.random.default_rng(1)

    with_kink = fit_quantiles(kinked.sample(rng, 1000).tolist()).quantiles
    without = fit_quantiles(plain.sample(rng, 1000).tolist()).quantiles

    assert {"p50", "p90", "p99"} == with_kink.keys()
    assert 300.0 == pytest.approx(with_kink["p90"], rel=0.1)
    assert {"p50", "p99"} == without.keys()


def test_the_doubt_of_a_few_samples_is_larger_than_of_many():
    """And it is about as large as the error really is."""
    truth, rng = distribution({"p50": 40.0, "p99": 100.0}), np.random.default_rng(0)
    few, many = (fit_quantiles(truth.sample(rng, count).tolist()).doubt for count in (20, 2000))

    assert few[0] > 3 * many[0]
    assert many[1] < 0.1


def test_no_tail_is_read_from_two_samples_and_equal_samples_have_none():
    """Neither is an error."""
    assert fit_quantiles([1.0, 2.0]) is None
    assert {"p50": 5.0, "p99": 5.0} == pytest.approx(fit_quantiles([5.0] * 10).quantiles)


def transfer(*, burst, fast, base, pulse_s, seconds, cable=math.inf):
    """Bytes by bin of a transfer through the token bucket of the emulated network, at most as fast as a cable, MB."""
    mb = 1e6
    bucket, at, bins = TokenBucket(burst * mb, fast * mb, base * mb, pulse_s, 0.0), 0.0, [0] * round(seconds / BIN_S)
    piece = 32_768
    sent_at = 0.0
    while True:
        sent_at = max(sent_at, at - 0.001) + piece / (cable * mb)
        at = bucket.pass_bytes(piece, sent_at)
        if at >= seconds:
            return bins
        bins[int(at / BIN_S)] += piece


@pytest.mark.parametrize(
    ("truth", "cable"),
    [
        ({"burst": 300.0, "fast": 1200.0, "base": 77.5, "pulse_s": 0.1}, math.inf),
        ({"burst": 20.0, "fast": 100.0, "base": 10.0, "pulse_s": 0.05}, math.inf),
        ({"burst": 30.0, "fast": 60.0, "base": 20.0, "pulse_s": 0.2}, math.inf),
        ({"burst": 40.0, "fast": 80.0, "base": 12.0, "pulse_s": 0.1}, 40.0),
    ],
)
def test_a_bucket_is_found_from_a_transfers_progress(truth, cable):
    """Its size, both bandwidths and the pulses: within 10 %, also through a cable that is slower than the burst."""
    bins = transfer(**truth, seconds=10.0, cable=cable)

    phases = transfer_phases(bins, BIN_S)
    pulse = pulse_ms(bins, BIN_S, phases.burst_mb / phases.first_mb_s + 0.2)

    assert min(truth["fast"], cable) == pytest.approx(phases.first_mb_s, rel=0.1)
    assert truth["base"] == pytest.approx(phases.base_mb_s, rel=0.1)
    assert 1e3 * truth["pulse_s"] == pytest.approx(pulse, rel=0.05)
    assert truth["burst"] == pytest.approx(burst_mb(phases, truth["fast"], pulse), rel=0.1)


def test_a_steady_transfer_has_neither_burst_nor_pulses():
    """What was not seen is not made up."""
    rng = np.random.default_rng(0)
    steady = rng.normal(400_000, 40_000, 2000).astype(int).tolist()

    phases = transfer_phases(steady, BIN_S)

    assert 80.0 == pytest.approx(phases.first_mb_s, rel=0.02)
    assert phases.base_mb_s is None
    assert pulse_ms(steady, BIN_S, 0.0) is None


def test_pulses_that_come_late_at_times_are_the_same_pulses():
    """Their interval is the first one that repeats, not a multiple of it."""
    rng = np.random.default_rng(3)
    bins = [0] * 2000
    for number in range(100):
        late = rng.integers(0, 4) if rng.random() < 0.3 else 0
        # In three pieces with a pause between two of them.
        for piece in (0, 2, 3):
            bins[min(1999, 20 * number + int(late) + piece)] += 3_000_000

    assert 100.0 == pytest.approx(pulse_ms(bins, BIN_S, 0.0), rel=0.05)


@pytest.mark.parametrize("seed", range(6))
def test_a_speed_that_wanders_is_no_burst(seed):
    """As a busy machine's does: it ends slower than it began, but has no bucket."""
    speed = np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, 2000)))

    assert transfer_phases((5e6 * speed).astype(int).tolist(), BIN_S).base_mb_s is None


def test_nothing_that_arrived_is_no_transfer():
    """Nor is a single piece."""
    assert transfer_phases([0] * 100, BIN_S) is None
    assert transfer_phases([0, 9, 0], BIN_S) is None


def test_a_pause_at_the_start_is_latency_and_no_slow_phase():
    """The first bytes of a transfer come after a round trip."""
    phases = transfer_phases([0] * 40 + [500_000] * 400, BIN_S)

    assert 100.0 == pytest.approx(phases.first_mb_s)
    assert phases.base_mb_s is None


def test_the_latency_of_a_write_is_no_part_of_its_bandwidth():
    """8 MB in 0.14 s of which 0.04 are latency are 80 MB/s."""
    assert 80.0 == pytest.approx(bandwidth_mb_s([0.14, 0.14, 0.9], 8_000_000, 0.04))
    assert bandwidth_mb_s([0.03], 8_000_000, 0.04) is None


@pytest.mark.parametrize("last_s", [0.4, 1.5])
def test_the_end_of_a_fan_out_is_found_from_its_starts(last_s):
    """From starts one by one, and from bursts of them: without taking the slowest of them for the fan-out."""
    truth = ByCount((1, 20), (0.08, last_s))
    cold, rng = distribution({"p50": 150.0, "p99": 200.0}), np.random.default_rng(2)
    delays_ms = [1e3 * (truth.at(k) - 0.08) for k in range(1, 21)]
    single = cold.sample(rng, 60)
    bursts = np.concatenate([cold.sample(rng, 20) + delays_ms for _ in range(3)])

    found = fan_out(single.tolist(), rng.permutation(bursts).tolist(), 20, zip_ms=80.0)

    assert last_s == pytest.approx(found.at(20), rel=0.1)
    assert 0.08 == pytest.approx(found.at(1))


def test_starts_at_once_that_are_no_slower_have_no_fan_out():
    """The table is flat, and never below the start that it contains."""
    assert pytest.approx((0.08, 0.08)) == fan_out([200.0, 201.0], [199.0, 198.0], 2, zip_ms=80.0).values
    assert fan_out([], [1.0], 2, zip_ms=80.0) is None


def test_a_limit_is_what_is_answered_while_more_is_refused():
    """1,000 a second out of a burst first, then 200 a second beside refusals."""
    answered = [5] * 100 + [1] * 400
    refused = [0] * 100 + [3] * 400

    assert 200.0 == pytest.approx(request_limit(answered, refused, BIN_S), rel=0.01)
    assert request_limit(answered, [0] * 500, BIN_S) is None


@pytest.mark.parametrize("shift", [0, 30, 100, 170])
def test_a_limit_by_whole_seconds_is_the_same_limit(shift):
    """Sixty at the beginning of each second, and refusals for the rest of it, whenever the look begins and ends."""
    answered = [60 if at % 200 == 0 else 0 for at in range(shift, shift + 1200)]
    refused = [0 if at % 200 == 0 else 5 for at in range(shift, shift + 1200)]

    assert 60.0 == pytest.approx(request_limit(answered, refused, BIN_S), rel=0.1)
