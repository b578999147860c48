"""Who is named as the straggler, from the ranks' timings alone."""

from typing import Any

import pytest

from harness.insight.straggler import find_straggler

Record = dict[str, Any]


def attempt(waits: list[tuple[float, int]], round_ms: float = 100.0, first_round: int = 1) -> Record:
    """Return a rank's timings: how long it waited in each round, ms, and for whom."""
    return {
        "version": 2,
        "first_round": first_round,
        "round_ms": [max(round_ms, ms) for ms, _ in waits],
        "wait_ms": [ms for ms, _ in waits],
        "waited_for": [peer for _, peer in waits],
    }


def test_the_rank_that_all_others_wait_for_is_named() -> None:
    """Rank 2 holds the others up in each of ten rounds."""
    late = [(0.0, -1)] * 10
    found = find_straggler({rank: [attempt(late if rank == 2 else [(60.0, 2)] * 10)] for rank in range(4)})
    assert found is not None
    assert (found.rank, found.rounds, found.first_round, found.last_round) == (2, 10, 1, 10)
    assert found.waited_s == pytest.approx(0.6)
    assert found.share == pytest.approx(0.6)
    assert found.text == "rank 2 was waited for 0.60 s: 60% of the rounds' time, in rounds 1 to 10"


def test_a_wait_goes_back_to_the_rank_behind_the_one_that_was_waited_for() -> None:
    """Rank 0 waits for rank 1, which waits for rank 2, which waits for nobody: rank 2 is named."""
    timings = {0: [attempt([(80.0, 1)] * 5)], 1: [attempt([(75.0, 2)] * 5)], 2: [attempt([(1.0, 0)] * 5)]}
    found = find_straggler(timings)
    assert found is not None
    assert found.rank == 2
    assert found.waited_s == pytest.approx(5 * 0.079)


def test_a_rank_that_waited_little_itself_keeps_the_blame() -> None:
    """Rank 1 waited a moment for rank 2 before it held rank 0 up: the blame is rank 1's."""
    timings = {0: [attempt([(80.0, 1)] * 5)], 1: [attempt([(2.0, 2)] * 5)], 2: [attempt([(70.0, 1)] * 5)]}
    found = find_straggler(timings)
    assert found is not None
    assert found.rank == 1


def test_ranks_that_wait_for_each_other_end_at_the_one_that_waited_less() -> None:
    """In a round of several steps two ranks may wait for each other."""
    timings = {0: [attempt([(80.0, 1)] * 5)], 1: [attempt([(50.0, 0)] * 5)]}
    found = find_straggler(timings)
    assert found is not None
    assert found.rank == 1
    assert found.waited_s == pytest.approx(5 * 0.03)


def test_nobody_is_named_when_each_rank_is_waited_for_in_turn() -> None:
    """Waits that go round are nobody's fault."""
    rounds = [[(0.0, -1) if at % 3 == rank else (40.0, at % 3) for at in range(30)] for rank in range(3)]
    assert find_straggler({rank: [attempt(waits)] for rank, waits in enumerate(rounds)}) is None


def test_nobody_is_named_for_a_twentieth_of_the_time() -> None:
    """A rank that costs little does not stand out."""
    assert find_straggler({0: [attempt([(5.0, 1)] * 50)], 1: [attempt([(0.0, -1)] * 50)]}) is None


def test_one_long_wait_is_found_among_many_short_ones() -> None:
    """A rank that froze once is named with that round."""
    waits = [(1.0, 0)] * 99
    waits[41] = (5000.0, 1)
    timings = {0: [attempt([(0.0, -1)] * 41 + [(5000.0, 1)] + [(0.0, -1)] * 57)], 1: [attempt([(1.0, 0)] * 99)]}
    timings[1][0]["wait_ms"][41], timings[1][0]["waited_for"][41] = 0.0, -1
    timings[2] = [attempt(waits)]
    found = find_straggler(timings)
    assert found is not None
    assert (found.rank, found.rounds, found.first_round) == (1, 1, 42)
    assert found.text.endswith("in round 42")


def test_the_links_of_a_chain_are_one_run() -> None:
    """Attempts of a rank follow each other by the number of their first round."""
    links = [attempt([(50.0, 1)] * 4), attempt([(50.0, 1)] * 6, first_round=5)]
    idle = [attempt([(0.0, -1)] * 4), attempt([(0.0, -1)] * 6, first_round=5)]
    found = find_straggler({0: links, 1: idle})
    assert found is not None
    assert (found.rank, found.rounds, found.last_round) == (1, 10, 10)


def test_a_rank_without_timings_is_named_by_those_that_waited_for_it() -> None:
    """A rank that died stored none; the others tell whom they waited for."""
    found = find_straggler({0: [attempt([(50.0, 2)] * 4)], 1: [attempt([(50.0, 2)] * 4)]})
    assert found is not None
    assert found.rank == 2


@pytest.mark.parametrize(
    "record",
    [
        {"round_ms": [1.0, 2.0], "all_reduce_ms": [1.0]},
        {"version": 2, "round_ms": [1.0], "wait_ms": [1.0, 2.0], "waited_for": [0, 0]},
        {"version": 2, "round_ms": [1e3], "wait_ms": ["soon"], "waited_for": [1]},
        {"version": 2, "round_ms": [1e3], "wait_ms": [[5]], "waited_for": [1]},
        {"version": 2, "round_ms": [1e3], "wait_ms": [900.0], "waited_for": [1e300]},
        {"version": 2, "round_ms": [1e3], "wait_ms": [900.0], "waited_for": "1"},
        {"version": 2, "round_ms": [1e3], "wait_ms": [900.0], "waited_for": [1], "first_round": 9e9},
        {"version": "x", "round_ms": None, "wait_ms": {}, "waited_for": []},
    ],
)
def test_records_that_do_not_tell_name_nobody(record: Record) -> None:
    """Timings of an older version, and malformed ones, name nobody and raise nothing."""
    assert find_straggler({0: [record], 1: [{"round_ms": [1e3], "wait_ms": [0.0], "waited_for": [-1]}]}) is None


def test_a_wait_in_the_evaluation_behind_a_round_is_found() -> None:
    """Rank 1 froze behind its frame of round 3: the others waited for it before round 4 began, not in a round."""
    prompt, frozen = attempt([(1.0, 1)] * 6, round_ms=10.0), attempt([(1.0, 0)] * 6, round_ms=10.0)
    prompt["round_at_ms"] = [0.0, 10.0, 20.0, 930.0, 940.0, 950.0]
    frozen["round_at_ms"], frozen["round_ms"][2] = [0.0, 10.0, 20.0, 930.0, 940.0, 950.0], 905.0
    found = find_straggler({0: [prompt], 1: [frozen], 2: [prompt]})
    assert found is not None
    assert (found.rank, found.first_round, found.rounds) == (1, 3, 1)
    assert found.waited_s == pytest.approx(0.9, rel=0.02)


def test_a_rank_that_stores_checkpoints_waits_for_nobody_meanwhile() -> None:
    """Rank 0 stores one behind round 3, and rank 1 waits for it in round 4: rank 0 is named, and rank 1 is not."""
    storing, waiting = attempt([(0.0, -1)] * 6, round_ms=10.0), attempt([(0.0, -1)] * 6, round_ms=10.0)
    storing["round_at_ms"] = [0.0, 10.0, 20.0, 130.0, 140.0, 150.0]
    storing["intervals"] = [["checkpoint", 30.0, 130.0]]
    waiting["round_at_ms"] = [0.0, 10.0, 20.0, 30.0, 140.0, 150.0]
    waiting["round_ms"][3], waiting["wait_ms"][3], waiting["waited_for"][3] = 110.0, 100.0, 0
    found = find_straggler({0: [storing], 1: [waiting]})
    assert found is not None
    assert (found.rank, found.first_round, found.rounds) == (0, 4, 1)
    assert found.waited_s == pytest.approx(0.1)
