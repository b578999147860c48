"""Successive halving: the rungs, and who goes on."""

import optuna
import pytest

from harness.errors import HarnessError
from harness.tune.halving import Rung, SynchronousHalving, rungs


@pytest.mark.parametrize(
    ("n_trials", "epochs", "reduction", "expected"),
    [
        (27, 27, 3, [(1, 27), (3, 9), (9, 3), (27, 1)]),
        (9, 50, 3, [(5, 9), (16, 3), (50, 1)]),
        (20, 4, 2, [(1, 20), (2, 10), (4, 5)]),
        (4, 100, 3, [(33, 4), (100, 1)]),
    ],
)
def test_rungs_have_fewer_trials_and_more_epochs(n_trials, epochs, reduction, expected):
    """The last one trains to the end, and the first at least one epoch."""
    assert [Rung(*rung) for rung in expected] == rungs(n_trials, epochs, reduction)


@pytest.mark.parametrize(("n_trials", "epochs"), [(2, 27), (27, 2)])
def test_a_single_rung_is_refused(n_trials, epochs):
    """It would be a random search."""
    with pytest.raises(HarnessError, match="a single rung"):
        rungs(n_trials, epochs, 3)


@pytest.mark.parametrize(("direction", "going"), [("minimize", {1, 2}), ("maximize", {0, 3})])
def test_the_better_ones_go_on_whatever_the_order_of_their_reports(direction, going):
    """Of equal values the first."""
    study = optuna.create_study(direction=direction, pruner=SynchronousHalving([Rung(1, 5), Rung(3, 2)]))
    trials = [study.ask() for _ in range(5)]
    for number, value in zip((4, 2, 0, 3, 1), (0.3, 0.1, 0.4, 0.4, 0.2), strict=True):
        trials[number].report(value, 1)

    assert going == {trial.number for trial in trials if not trial.should_prune()}


def test_on_the_last_rung_nobody_is_pruned():
    """All of its trials are finished."""
    study = optuna.create_study(pruner=SynchronousHalving([Rung(1, 3), Rung(3, 1)]))
    trial = study.ask()
    trial.report(1.0, 3)

    assert not trial.should_prune()
