"""Virtual time: one task at a time, in the order of what is due."""

import threading

import pytest

from harness.report.virtual_time import Stalled, VirtualTime


def test_tasks_go_on_in_the_order_in_which_they_are_due():
    """Two tasks that sleep take turns by time, and at the same time by who asked first."""
    time, seen = VirtualTime(), []

    def sleeper(name, seconds):
        for _ in range(3):
            time.sleep(seconds)
            seen.append((time.now, name))

    time.run([lambda: sleeper("a", 2.0), lambda: sleeper("b", 3.0)])

    assert [(2, "a"), (3, "b"), (4, "a"), (6, "b"), (6, "a"), (9, "b")] == seen


def test_a_task_waits_until_something_that_is_due_resumes_it():
    """What `wait` is given decides when the task goes on."""
    time = VirtualTime()

    def main():
        time.wait(lambda resume: time.at(5.0, resume))

    time.run([main])

    assert 5.0 == time.now


def test_the_first_error_ends_all_tasks():
    """A task that fails takes the others with it, and no thread stays."""
    time, before = VirtualTime(), threading.active_count()

    def fails():
        time.sleep(1.0)
        raise ValueError("rank 1 is bad")

    with pytest.raises(ValueError, match="rank 1 is bad"):
        time.run([lambda: time.sleep(9.0), fails, lambda: time.sleep(9.0)])

    assert 1.0 == time.now
    assert before == threading.active_count()


def test_tasks_that_all_wait_for_ever_are_told():
    """Nothing is due and nobody can go on: that is an error, not a hang."""
    time = VirtualTime()

    with pytest.raises(Stalled, match=r"at 0\.0+ s all of 2 tasks wait"):
        time.run([lambda: time.wait(lambda _: None)] * 2)


def test_time_goes_on_from_run_to_run():
    """A second run begins when the first one ended."""
    time = VirtualTime()
    time.run([lambda: time.sleep(2.0)])

    time.run([lambda: time.sleep(1.0)])

    assert 3.0 == time.now


def test_never_do_two_tasks_run_at_once():
    """However often two tasks hand over to each other, each goes on only when the other one waits."""
    time, running, most = VirtualTime(), [0], [0]

    def main():
        for _ in range(3000):
            running[0] += 1
            most[0] = max(most[0], running[0])
            running[0] -= 1
            time.sleep(0.0)

    time.run([main, main])

    assert [1] == most
