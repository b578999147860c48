"""What a fault cost, from the timings of the ranks that survived it."""

import pytest

from harness.faults.injections import Event
from harness.insight.timings import read_timings
from harness.runs.fault_costs import costs

BEGAN = 1_000_000.0


def attempt(round_s, *, first_at_s=1.0, began_s=0.0, waits_s=(), evaluate_s=()):
    """The timings of an attempt whose rounds follow each other; after a round there may be an evaluation."""
    at_s, starts, intervals = first_at_s, [], []
    for number, seconds in enumerate(round_s):
        starts.append(1e3 * at_s)
        at_s += seconds
        if number in dict(evaluate_s):
            intervals.append(["evaluate", 1e3 * at_s, 1e3 * (at_s + dict(evaluate_s)[number])])
            at_s += dict(evaluate_s)[number]
    waits = [1e3 * dict(waits_s).get(number, 0.0) for number in range(len(round_s))]
    return read_timings(
        {
            "version": 2,
            "started_at": BEGAN + began_s,
            "first_round": 1,
            "round_at_ms": starts,
            "round_ms": [1e3 * seconds for seconds in round_s],
            "wait_ms": waits,
            "waited_for": [1 if wait else -1 for wait in waits],
            "intervals": intervals,
        }
    )


def event(text, at_s, *, last_at_s=None, target="worker"):
    """A fault that was injected so many seconds after the handlers began."""
    last = None if last_at_s is None else BEGAN + last_at_s
    return Event(fault=text, action=text.split()[0], target=target, times=1, at=BEGAN + at_s, last_at=last, round=10)


def test_a_freeze_of_two_seconds_costs_about_two_seconds():
    """The round of the freeze is compared with the others."""
    rounds = [0.002] * 20
    rounds[10] = 2.002

    assert costs([event("freeze rank=1 round=10 s=2", 1.021)], {0: [attempt(rounds)]}, BEGAN + 4) == [
        pytest.approx(2.0)
    ]


def test_a_freeze_that_is_met_in_an_evaluation_costs_as_much():
    """An epoch's evaluation waits for all ranks, too; evaluations are compared with evaluations."""
    rank = attempt([0.002] * 20, evaluate_s=[(4, 0.01), (9, 2.01), (14, 0.01), (19, 0.01)])

    assert costs([event("freeze rank=1 round=10 s=2", 1.029)], {0: [rank]}, BEGAN + 4) == [pytest.approx(2.0, abs=0.02)]


def test_a_rank_that_is_slow_to_the_end_costs_all_rounds():
    """A factor lasts: its cost is that of every later round, not of two; the median of all rounds says nothing."""
    ranks = {
        0: [attempt([0.002] * 10 + [0.042] * 90, waits_s=[(number, 0.040) for number in range(10, 100)])],
        1: [attempt([0.002] * 10 + [0.042] * 90)],
    }

    assert costs([event("freeze rank=1 round=10 factor=20", 1.019)], ranks, BEGAN + 6) == [pytest.approx(3.6, rel=0.02)]


def test_faults_that_strike_again_and_again_are_summed():
    """From the first injection to the last."""
    rounds = [0.002] * 100
    for number in (20, 40, 60):
        rounds[number] = 0.102
    delay = event("delay memcached rank=1 ms=100", 1.041, last_at_s=1.323, target="memcached")

    assert costs([delay], {0: [attempt(rounds)]}, BEGAN + 6) == [pytest.approx(0.3, abs=0.01)]


def test_two_faults_far_apart_have_a_cost_each():
    """Each is compared with the rounds that neither touched."""
    rounds = [0.002] * 100
    rounds[20], rounds[80] = 0.502, 1.002
    faults = [event("freeze rank=1 round=21 s=0.5", 1.041), event("freeze rank=1 round=81 s=1", 1.0 + 0.66 + 0.001)]

    assert costs(faults, {0: [attempt(rounds)]}, BEGAN + 6) == [pytest.approx(0.5), pytest.approx(1.0)]


def test_without_a_survivor_the_cost_is_the_time_to_the_end():
    """All ranks died: what the rest of the run usually takes is subtracted."""
    new = attempt([0.01] * 50, began_s=4.0)

    assert costs([event("kill rank=all round=10", 2.0)], {0: [new]}, BEGAN + 6) == [pytest.approx(3.5)]


def test_a_fault_that_no_round_waited_for_has_no_cost():
    """One that never struck, one of S3, and one that struck while ranks joined."""
    never = Event(fault="kill rank=1 round=99", action="kill", target="worker")
    storage = event("503 s3 n=1", 1.01, target="s3")
    joining = event("freeze rank=1 round=0 s=2", 0.5)

    assert costs([never, storage, joining], {0: [attempt([0.002] * 20)]}, BEGAN + 6) == [None, None, None]
