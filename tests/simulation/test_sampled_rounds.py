"""Sampled rounds beside simulated ones: the arrays of the forecast against the code that runs on AWS."""

from dataclasses import replace

import numpy as np
import pytest

from harness.network.conditions import SharedCable, TokenBucket
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.report.assumptions import default_assumptions
from harness.report.network import ELASTICACHE
from harness.report.round_times import sample_rounds
from harness.report.simulated_rounds import simulate_emulated
from harness.report.station import Buckets, Cable, in_line
from training.exchange.collectives.registry import REGISTRY

LASTING, NONE = 1e9, 1.0
# Median and largest difference of a mean round, by collective: those that a forecast may differ by from a run.
MEDIAN, LARGEST = 0.06, 0.15


def both(collective, world_size, part_bytes, *, zones=1, burst=LASTING, rounds=30):
    """The mean round in seconds, sampled and simulated."""
    preset = load_preset(overrides=[f"function_burst={burst}"])
    emulated = EmulatedNetwork(preset="test", figures={n: f.value for n, f in preset.figures.items()}, zones=zones)
    simulated = simulate_emulated(collective, world_size, part_bytes, ELASTICACHE, emulated, rounds=rounds)
    assumptions = replace(default_assumptions(), preset=preset, zones=zones)
    rng = np.random.default_rng(0)
    sampled = sample_rounds(collective, world_size, part_bytes, assumptions, ELASTICACHE, rng, burst=burst == LASTING)
    return sampled, simulated


@pytest.mark.parametrize("zones", [1, 2])
@pytest.mark.parametrize("collective", REGISTRY)
def test_sampled_rounds_are_those_of_the_simulation(collective, zones):
    """2 to 32 ranks, 120 B to 1 MB, in one zone and in two, while functions have tokens."""
    cells = [(2, 120), (2, 189_000), (2, 1_000_000), (4, 31_400), (8, 120), (8, 189_000), (32, 120)]

    ratios = []
    for world_size, part_bytes in cells:
        sampled, simulated = both(collective, world_size, part_bytes, zones=zones)
        ratios.append(sampled.period_s / simulated.period_s - 1)

    assert np.median(np.abs(ratios)) < MEDIAN, ratios
    assert np.max(np.abs(ratios)) < LARGEST, ratios


@pytest.mark.parametrize(("collective", "world_size"), [("all_gather", 4), ("reduce", 8), ("reduce_scatter", 4)])
def test_large_parts_wait_for_what_is_granted_to_functions(collective, world_size):
    """4 MB after the burst: the base bandwidth decides, and the round is several times as long as within the burst."""
    sampled, simulated = both(collective, world_size, 4_000_000, burst=NONE, rounds=20)
    quick, _ = both(collective, world_size, 4_000_000, rounds=3)

    assert sampled.period_s == pytest.approx(simulated.period_s, rel=LARGEST)
    assert sampled.period_s > 1.2 * quick.period_s


def test_a_leader_of_nobody_waits_for_the_other_leaders_alone():
    """Of 7 ranks in groups of 3, the last leads nobody; large parts, so that its wait is long."""
    sampled, simulated = both("two_level", 7, 1_000_000, rounds=10)

    assert sampled.period_s == pytest.approx(simulated.period_s, rel=LARGEST)


def test_small_requests_wait_behind_values_that_came_before_them():
    """Two values of 100 bytes at 10 bytes a second: who comes while one passes is behind it, and nobody else is."""
    cable = Cable(1, 10.0)
    cable.pass_bytes(np.array([[100.0, 100.0, 0.0]]), np.array([[1.0, 30.0, 2.0]]))

    assert [[0.5, 11.0, 20.0, 40.0, 50.0]] == cable.behind_values(np.array([[0.5, 5.0, 20.0, 31.0, 50.0]])).tolist()


def test_a_line_serves_in_the_order_of_arrival():
    """By hand: the second waits for the first, the last finds nobody."""
    arrivals, service = np.array([[1.0, 0.0, 9.0]]), np.array([[2.0, 3.0, 1.0]])

    assert [[5.0, 3.0, 10.0]] == in_line(arrivals, service).tolist()


@pytest.mark.parametrize("pulse_s", [0.0, 0.1])
def test_buckets_are_the_emulation_s(pulse_s):
    """The same bytes at the same times pass at the same times as through the emulation's bucket."""
    rng = np.random.default_rng(1)
    sizes, gaps = rng.uniform(0, 3e6, 50), rng.exponential(0.02, 50)
    one = TokenBucket(2e6, 1.2e9, 77e6, pulse_s, 0.0)
    # A bucket that is full at first is one that had time to fill.
    many = Buckets((1, 1), 2e6, 1.2e9, 77e6, pulse_s, np.random.default_rng(0))
    many.fill()
    now = 0.0

    for size, gap in zip(sizes, gaps, strict=True):
        now += gap
        expected = one.pass_bytes(size, now)
        passed = many.pass_bytes(slice(None), np.array([[size]]), np.array([[now]]))
        assert expected == pytest.approx(passed[0, 0], rel=1e-9)
        now = expected


def test_a_cable_takes_the_time_of_all_bytes():
    """Whatever the calls, 30 MB at 100 MB/s take 0.3 s, as through the emulation's cable."""
    cable, one = Cable(1, 100e6), SharedCable(100e6)
    sizes = np.full((1, 10), 1e6)

    last = max(cable.pass_bytes(sizes, np.zeros((1, 10))).max() for _ in range(3))

    assert max(one.pass_bytes(1e6, 0.0) for _ in range(30)) == pytest.approx(last) == 0.3
