"""Threads that run ahead: the order stays, no more is made than may wait, errors come in their turn."""

import threading
from contextlib import closing

import pytest

from harness.datasets.ahead import Ahead, map_ahead


def failing_after(count):
    """Some numbers, and then an error."""
    yield from range(count)
    raise OSError("the disk is gone")


def test_items_come_in_their_order_and_then_the_error():
    """What was made before a failure is not lost."""
    items = Ahead(failing_after(5), most=3)

    assert [0, 1, 2, 3, 4] == [next(items) for _ in range(5)]
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)
    items.close()


def test_an_iterator_that_ends_ends():
    """However many were to be made ahead, and however often one asks."""
    items = Ahead((item for item in "ab"), most=5)

    assert ["a", "b"] == list(items)
    assert [] == list(items)


def test_no_more_items_are_made_than_may_wait():
    """One who does not take what is there gets no more made."""
    made = []

    def numbers():
        for number in range(100):
            made.append(number)
            yield number

    with closing(Ahead(numbers(), most=3)) as items:
        assert 0 == next(items)

    assert len(made) <= 4


def test_results_come_in_the_order_of_the_work():
    """Whichever call ends first."""
    second_is_done = threading.Event()

    def call(number, name):
        if number == 0:
            assert second_is_done.wait(10)
        if number == 1:
            second_is_done.set()
        return name * number

    assert ["", "b", "cc"] == list(map_ahead(call, [(0, "a"), (1, "b"), (2, "c")], threads=2, most=4))


def test_errors_of_calls_and_of_the_work_come_in_their_turn():
    """All results before them are there first."""

    def check(number):
        if number == 3:
            raise ValueError(number)
        return number

    results = map_ahead(check, ((number,) for number in failing_after(3)), threads=2, most=4)
    assert [0, 1, 2] == [next(results) for _ in range(3)]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)

    results = map_ahead(check, ((number,) for number in range(10)), threads=2, most=4)
    assert [0, 1, 2] == [next(results) for _ in range(3)]
    with pytest.raises(ValueError, match="3"):
        next(results)


def test_who_stops_early_leaves_no_thread():
    """Closing waits for what runs, and for nothing that waits."""
    before = threading.active_count()
    calls = []

    with closing(map_ahead(calls.append, ((number,) for number in range(1000)), threads=2, most=4)) as results:
        next(results)

    assert before == threading.active_count()
    assert len(calls) < 10
