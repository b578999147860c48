"""What `make bench` says about figures: ratios, goals, the table in the README, the comparison of revisions."""

import pytest

from benchmarks.bare_memcached import steps_of
from benchmarks.comparison import compare
from benchmarks.figure import BenchmarkError, Figure, Goal
from benchmarks.machine import Machine
from benchmarks.results import BEGIN, END, README, Results, cells, load, number, save, update_readme

MACHINE = Machine("2026-01-31", "c0ffee+", "a processor", 2, "Linux 6.1", "3.11.9", 0.5)


def figure(**changes):
    """A figure with two samples of each."""
    samples = {"floor": (1.0, 2.0), "ours": (3.0, 4.0)}
    return Figure(**{"name": "trip", "unit": "ms", "floor_name": "bare", **samples, **changes})


def test_pairs_are_compared_pair_by_pair():
    """A repetition during which the machine was slow for both does not move the ratio."""
    assert 2 == figure(floor=(1, 50, 1), ours=(2, 100, 2)).ratio


def test_without_pairs_medians_are_compared():
    """One sample of the floor serves many of ours."""
    assert 3 == figure(floor=(2,), ours=(5, 6, 7)).ratio


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (None, None),
        (Goal(3), True),
        (Goal(2), False),
        (Goal(3.5, "value"), True),
        (Goal(3, "value"), False),
        (Goal(3, "value", at_least=True), True),
        (Goal(3, at_least=True), False),
    ],
)
def test_a_goal_limits_the_ratio_or_the_figure(goal, reached):
    """The ratio is 2.5 and the median of ours 3.5."""
    assert reached is figure(goal=goal).reached


def test_a_figure_without_samples_must_say_why():
    """No row of the table is empty without a reason."""
    with pytest.raises(BenchmarkError, match="trip: no samples of ours"):
        figure(ours=())

    assert "not measured: no engine" == cells(figure(ours=(), floor=(), not_measured="no engine"))[-1]


def test_the_table_shows_both_with_least_and_median():
    """Never an absolute time alone."""
    assert ("trip, ms", "bare", "1, 1.5", "3, 3.5", "2.50", "<= 2x", "no", "") == cells(figure(goal=Goal(2)))


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (45.67, "45.7"), (123456.7, "123,457"), (999.9, "1,000")]
)
def test_numbers_have_three_digits_that_mean_something(value, text):
    """Large ones are written out."""
    assert text == number(value)


def test_results_are_read_as_they_were_written(tmp_path):
    """`make bench-compare` reads what each tree has measured."""
    results = Results(MACHINE, (figure(goal=Goal(2)),))

    save(results, tmp_path / "new" / "bench.json")

    assert results == load(tmp_path / "new" / "bench.json")


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    """The rest of the README is written by hand."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    update_readme(Results(MACHINE, (figure(),)), path)

    text = path.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "| trip, ms | bare | 1, 1.5 | 3, 3.5 | 2.50 |" in text
    assert "old" not in text


def test_a_file_without_marks_is_refused(tmp_path):
    """And left as it is."""
    path = tmp_path / "README.md"
    path.write_text("by hand")

    with pytest.raises(BenchmarkError, match="no lines `<!-- begin"):
        update_readme(Results(MACHINE, (figure(),)), path)

    assert "by hand" == path.read_text()


def test_the_readme_of_the_benchmarks_has_its_marks():
    """`make bench` can write its table."""
    text = README.read_text()

    assert 1 == text.count(BEGIN) == text.count(END)


def test_passes_of_both_revisions_are_put_together():
    """The improvement tells how many times as good ours is, whichever way is better."""
    base = [figure(ours=(8.0,), floor=(1.0,)), figure(ours=(4.0,), floor=(3.0,)), figure(name="gone")]
    ours = [figure(ours=(3.0,), floor=(2.0,)), figure(name="new")]

    (found,) = compare(base, ours)

    assert ("trip", 6.0, 3.0, 0.5, 2.0, 1.0) == (
        found.name,
        found.base,
        found.ours,
        found.ratio,
        found.improvement,
        found.floor_ratio,
    )


@pytest.mark.parametrize("collective", ["all_gather", "reduce", "reduce_scatter"])
def test_the_floor_gets_only_what_some_rank_has_put(collective):
    """A floor that waited for a key that never comes would measure nothing."""
    steps = [step for rank in range(4) for step in steps_of(collective, rank, 4, 400, 60)]
    put = {(key, step.value_bytes) for step in steps if step.verb == "put" for key in step.keys}
    got = {(key, step.value_bytes) for step in steps if step.verb == "get" for key in step.keys}

    assert got == put


def test_reduce_scatter_moves_a_share_of_the_bytes():
    """Per rank (w - 1)/w m + m/w are put and 2 (w - 1)/w m are got."""
    steps = steps_of("reduce_scatter", 1, 4, 400, 0)

    assert [("put", 300), ("get", 300), ("put", 100), ("get", 300)] == [
        (step.verb, len(step.keys) * step.value_bytes) for step in steps
    ]
