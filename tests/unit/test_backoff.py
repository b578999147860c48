"""The pace of looks: at once where waits are short, late and seldom where they are long or many wait."""

from itertools import islice

import pytest

from training.exchange.backoff import EAGER_POLLS, MEMORY, AdaptiveBackoff


def first(pace, count=6):
    """The first seconds between looks."""
    return list(islice(pace.delays(), count))


def looks_until(pace, seconds):
    """How many looks a wait of this length takes."""
    waited = 0.0
    for looks, delay in enumerate(pace.delays(), 1):
        waited += max(delay, 30e-6)  # a look takes time itself
        if waited >= seconds:
            return looks, waited - seconds
    raise AssertionError("the delays never end")


def test_short_waits_look_at_once():
    """A wait of which nothing is known, or that was short before, begins with looks without a sleep."""
    unknown, short = AdaptiveBackoff(2), AdaptiveBackoff(2)
    for _ in range(MEMORY):
        short.learn(1e-4)

    for pace in (unknown, short):
        assert [0.0] * EAGER_POLLS == first(pace, EAGER_POLLS)


def test_long_waits_sleep_for_half_of_the_least():
    """Where the last waits were long, nothing is looked for before half of the shortest of them."""
    pace = AdaptiveBackoff(4)
    for waited in (0.02, 0.03, 0.01, 0.05, 0.02, 0.02, 0.04, 0.02):
        pace.learn(waited)

    assert 0.005 == pytest.approx(first(pace)[0])


def test_one_straggler_changes_nothing():
    """A single long wait among short ones leaves the pace as it was."""
    pace = AdaptiveBackoff(2)
    for waited in (1e-4, 1e-4, 5.0, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4):
        pace.learn(waited)

    assert 0.0 == first(pace)[0]


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1, 1.0])
def test_a_wait_neither_burns_a_core_nor_oversleeps(seconds):
    """Looks are few, and the one that finds the frame comes at most a third of the wait, or 2 ms, too late."""
    looks, late_s = looks_until(AdaptiveBackoff(2), seconds)

    assert late_s <= max(seconds / 3, 1e-4)
    assert late_s <= 2e-3
    assert looks <= 30 + seconds / 2e-3


def test_many_ranks_look_more_seldom():
    """The more ranks wait, the further apart their looks become, so that all together stay bearable."""
    few, many = (looks_until(AdaptiveBackoff(size), 1.0)[0] for size in (2, 64))

    assert many < few / 4


def test_ranks_that_join_do_not_spin():
    """In round 0 a peer may be seconds away: no look follows another at once."""
    assert all(delay >= 1e-3 for delay in first(AdaptiveBackoff(4, joining=True)))
