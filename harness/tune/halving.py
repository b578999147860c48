"""Successive halving: all trials train for few epochs, the better ones for more, and the best ones to the end.

A trial that goes on trains from the start with the larger number of epochs; decision 56 says why.
All trials of a rung end before any goes on, so the result does not depend on which trial is faster.
Optuna's own pruner of this name decides for each trial when it reports, by those that reported before it.

Jamieson, Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization, figure 1.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from harness.errors import HarnessError


class Rung(NamedTuple):
    """One rung.

    Attributes:
        epochs: The epochs that its trials train.
        trials: How many trials it has, if none fails.
    """

    epochs: int
    trials: int


def rungs(n_trials: int, epochs: int, reduction: int) -> list[Rung]:
    """Return the rungs, the shortest first: `reduction` times fewer trials and more epochs on each.

    Args:
        n_trials: The trials of the first rung.
        epochs: The epochs of the last rung.
        reduction: 2 or more.

    Raises:
        HarnessError: There would be one rung only.
    """
    higher = 0
    while reduction ** (higher + 1) <= min(n_trials, epochs):
        higher += 1
    if higher == 0:
        raise HarnessError(
            f"--halving with {n_trials} trials and {epochs} epochs has a single rung",
            f"each rung has {reduction} times fewer trials and {reduction} times more epochs",
            f"set --trials and the epochs to {reduction} or more",
        )
    return [Rung(epochs // reduction ** (higher - rung), n_trials // reduction**rung) for rung in range(higher + 1)]


class SynchronousHalving(BasePruner):
    """Optuna's pruner for rungs that all trials reach before any goes on.

    Args:
        plan: The rungs.
    """

    def __init__(self, plan: Sequence[Rung]) -> None:
        self._places = {rung.epochs: after.trials for rung, after in pairwise(plan)}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether a trial ends on its rung; equal values go by the trial's number."""
        step = trial.last_step
        if step not in self._places:
            return False
        sign = 1 if study.direction == StudyDirection.MINIMIZE else -1
        ranked = sorted(
            (sign * other.intermediate_values[step], other.number)
            for other in study.get_trials(deepcopy=False)
            if step in other.intermediate_values
        )
        return trial.number not in [number for _, number in ranked[: self._places[step]]]
