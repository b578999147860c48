"""Simulated rounds that follow one another, with drawn latencies."""

from dataclasses import replace

import numpy as np
import pytest

from harness.presets.distribution import Constant, distribution
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.report.network import ELASTICACHE
from harness.report.simulate import simulate
from harness.report.simulated_rounds import simulate_emulated, simulate_rounds

SLOW = replace(ELASTICACHE, latency_s=5e-3)
VARYING = distribution({"p50": 5.0, "min": 3.8, "max": 6.9})


def test_two_ranks_that_take_turns_need_fewer_trips_than_two_that_begin_at_once():
    """The rank that begins later finds the other's frame with its own put: one and a half trips on average, not two."""
    rounds = simulate_rounds("all_gather", 2, 116, SLOW, Constant(5.0))

    assert 1.5 == pytest.approx(rounds.period_s / SLOW.latency_s, abs=0.1)
    assert 2.0 == pytest.approx(simulate("all_gather", 2, 116, SLOW).seconds / SLOW.latency_s, abs=0.1)


def test_a_round_waits_for_the_slowest_of_many_trips():
    """With drawn latencies of the same median, a round of 16 ranks is longer than with the median for all."""
    equal, drawn = (simulate_rounds("reduce", 16, 116, SLOW, latency) for latency in (Constant(5.0), VARYING))

    assert drawn.period_s > 1.1 * equal.period_s


def test_computing_is_added_to_a_round():
    """Ranks that compute for 20 ms in each round take at least that much longer than their exchange's own trips."""
    rounds = simulate_rounds("reduce", 4, 116, SLOW, VARYING, compute_s=20e-3)

    assert rounds.median_s > 20e-3 + 3 * SLOW.latency_s


def test_a_rank_with_slower_trips_sets_the_pace():
    """One rank of another zone comes last, so its one trip is the round; the others wait for it."""
    near, far = Constant(5.0), Constant(12.0)
    rounds = simulate_rounds("all_gather", 4, 116, SLOW, lambda rank: far if rank == 3 else near)

    assert 12e-3 == pytest.approx(rounds.period_s, rel=0.05)
    assert np.ptp(rounds.seconds.mean(axis=0)) < 0.1 * rounds.period_s


def test_the_same_seed_gives_the_same_rounds():
    """Simulated twice with one seed, and once with another."""
    first, second, third = (simulate_rounds("two_level", 5, 400, SLOW, VARYING, seed=seed) for seed in (7, 7, 8))

    assert np.array_equal(first.seconds, second.seconds)
    assert not np.array_equal(first.seconds, third.seconds)


def emulated(zones=1, **changed):
    """The default preset's network, with some figures changed."""
    preset = load_preset(overrides=[f"{name}={value}" for name, value in changed.items()])
    figures = {name: figure.value for name, figure in preset.figures.items()}
    return EmulatedNetwork(preset=preset.name, figures=figures, zones=zones)


def test_parts_pass_at_the_burst_s_bandwidth_until_the_bucket_is_empty():
    """4 MB each way: with a full bucket much quicker than with one that is empty from the start."""
    full, empty = emulated(), emulated(function_burst=1, function_pulse=0)
    burst, base = (simulate_emulated("all_gather", 2, 4_000_000, ELASTICACHE, one, rounds=5) for one in (full, empty))

    assert burst.period_s < 0.5 * base.period_s
    # While 4 MB pass one way, the other way's bucket is granted its 1 MB again.
    assert 2 * 3 / 77.5 < base.period_s < 2 * 4 / 77.5


def test_small_parts_never_wait_for_tokens():
    """A round of 120 B does not depend on the bucket's size: its bytes are far below what is granted."""
    periods = [
        simulate_emulated("reduce", 4, 120, ELASTICACHE, emulated(function_burst=size)).period_s for size in (1, 300)
    ]

    assert periods[0] == pytest.approx(periods[1], rel=0.02)


def test_two_zones_cost_the_other_zone_s_trips():
    """`reduce` of 4 ranks in two zones: each round takes at least the difference of two medians longer."""
    one, two = (simulate_emulated("reduce", 4, 120, ELASTICACHE, emulated(zones)).period_s for zones in (1, 2))

    assert two - one > 1.66e-3 - 0.66e-3
