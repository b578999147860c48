"""Runs in a list: what differs among them, which ones are listed, and in which order."""

import pytest

from harness.errors import HarnessError
from harness.runs.catalogue import RunEntry
from harness.runs.selection import format_value, parse_condition, select, with_differences


def entry(run_id, loss, **job):
    """A run."""
    return RunEntry(run_id, "succeeded", "rows", 2, loss, model="lr", job={"run_id": run_id, "port": 1, **job})


RUNS = [
    entry("r1", 0.5, lr=0.1, batch_size=32, penalty="l2"),
    entry("r2", 0.3, lr=0.2, batch_size=32, penalty="l1"),
    entry("r3", None, lr=0.3, batch_size=32, penalty="l2", patience=2),
]


def ids(*conditions, sort=None, limit=None):
    """The ids of the selected runs."""
    return [run.run_id for run in select(RUNS, [parse_condition(one) for one in conditions], sort, limit)]


def test_only_keys_that_differ_are_columns():
    """A key that is the same in all runs is none, nor is where a run took place, nor a key that others do not know."""
    assert [{"lr": 0.1, "penalty": "l2"}, {"lr": 0.2, "penalty": "l1"}, {"lr": 0.3, "penalty": "l2"}] == [
        run.differs for run in with_differences(RUNS)
    ]
    assert [{"lr": 0.1}, {"lr": 0.3}] == [run.differs for run in select(RUNS, [parse_condition("penalty=l2")], None, 9)]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["lr=0.1"], ["r1"]),
        (["lr>0.1", "lr<0.3"], ["r2"]),
        (["lr>=0.2"], ["r2", "r3"]),
        (["penalty!=l2"], ["r2"]),
        (["batch-size=32", "loss<0.4"], ["r2"]),
        (["status=failed"], []),
        (["workers=2", "patience=2"], ["r3"]),
        (["lr=high"], []),
    ],
)
def test_runs_are_filtered_by_keys_and_figures(conditions, found):
    """Numbers are compared as numbers; a run without a value satisfies no comparison."""
    assert found == ids(*conditions)


def test_runs_are_sorted_and_limited():
    """A sorted list begins with the smallest or the largest; without a key, the newest runs are listed, last."""
    assert ["r2", "r1", "r3"] == ids(sort="loss")
    assert ["r1", "r2"] == ids(sort="-loss", limit=2)
    assert ["r2", "r3"] == ids(limit=2)
    assert ["r2", "r1", "r3"] == ids(sort="penalty")


def test_a_key_that_no_run_has_is_refused_with_near_ones():
    """In a condition, and as the key to sort by."""
    with pytest.raises(HarnessError, match=r"no run has a key batch_sizes\ndid you mean batch_size"):
        ids("batch-sizes=3")
    with pytest.raises(HarnessError, match="no run has a key lrr"):
        ids(sort="-lrr")
    with pytest.raises(HarnessError, match="no run has a key ''"):
        ids(sort="")


def test_a_number_is_not_compared_with_text():
    """No run would satisfy that, which looks like an answer."""
    with pytest.raises(HarnessError, match=r"--where loss<high: loss is a number\ncompare it with a number"):
        ids("loss<high")


@pytest.mark.parametrize("text", ["lr", "=0.1", "lr~3", "", "l r=3"])
def test_what_is_no_condition_is_refused(text):
    """A key, a sign and a value are needed."""
    with pytest.raises(ValueError, match="^" + text):
        parse_condition(text)


def test_values_are_written_as_a_user_writes_them():
    """Floats without zeros, truth values as JSON."""
    assert ["0.1", "true", "-", "l2", "3"] == [format_value(value) for value in (0.1, True, None, "l2", 3)]
