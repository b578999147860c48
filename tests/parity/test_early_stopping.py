"""Early stopping: all ranks stop after the same epoch, with the model of the best one."""

import itertools

import numpy as np
import pytest

from tests.support.training_alone import dealt, train_together


def rows(count=240, features=40):
    """Few rows of noise and a little signal: a model that trains on and on gets worse on others."""
    random = np.random.default_rng(5)
    x = random.normal(size=(count, features)).astype(np.float32)
    return x, (x[:, 0] + 2 * random.normal(size=count) > 0).astype(np.int64)


X, Y = rows()
JOB = {"n_epochs": 60, "batch_size": 20, "lr": 0.3}


def validation(outcome, metric="loss"):
    """The validation figures of all epochs."""
    return [getattr(epoch.validation, metric) for epoch in outcome.epochs]


@pytest.mark.parametrize("sync_mode", ["reduce", "async"])
@pytest.mark.parametrize("optim", ["grad_avg", "model_avg"])
def test_all_ranks_stop_when_validation_gets_worse_and_keep_the_best(optim, sync_mode):
    """The epochs end `patience` after the best one, and the model is of that one."""
    outcomes = train_together(
        dealt(X, Y, 3, valid_ratio=0.3), optim=optim, sync_mode=sync_mode, max_staleness=1, patience=3, **JOB
    )

    losses = validation(outcomes[0])
    best = 1 + int(np.argmin(losses))
    assert {best + 3} == {len(outcome.epochs) for outcome in outcomes}
    assert len(losses) < 60
    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert outcomes[0].epochs[best - 1] == outcomes[0].report


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg"])
def test_the_model_is_the_one_that_a_training_of_so_many_epochs_has(optim):
    """The best epoch's parameters, bit for bit, not those of the last one."""
    shards = dealt(X, Y, 3, valid_ratio=0.3)
    stopped = train_together(shards, optim=optim, patience=4, **JOB)[0]

    short = train_together(shards, optim=optim, **JOB | {"n_epochs": stopped.report.epoch})[0]

    assert short.parameters.tobytes() == stopped.parameters.tobytes()
    assert short.epochs[-1].loss == stopped.report.loss


def test_patience_that_never_ends_still_keeps_the_best_epoch():
    """All epochs are done, and the model is that of the best."""
    outcome = train_together(dealt(X, Y, 2, valid_ratio=0.3), patience=100, **JOB)[0]

    assert 60 == len(outcome.epochs)
    assert 1 + int(np.argmin(validation(outcome))) == outcome.report.epoch < 60


def test_the_metric_may_be_the_accuracy():
    """More is better, and an epoch that is only as good is no improvement."""
    outcome = train_together(dealt(X, Y, 2, valid_ratio=0.3), patience=5, stop_metric="accuracy", **JOB)[0]

    accuracies = validation(outcome, "accuracy")
    assert 1 + int(np.argmax(accuracies)) == outcome.report.epoch
    assert outcome.report.epoch + 5 == len(accuracies)


def test_an_improvement_has_to_be_large_enough():
    """A loss that falls by less than `min_improvement` in an epoch counts as one that does not fall."""
    losses = [epoch.loss for epoch in train_together(dealt(X, Y, 2), **JOB)[0].epochs]
    falls = [before - after for before, after in itertools.pairwise(losses)]
    assert falls[0] > falls[1] > falls[2] > 0

    outcome = train_together(dealt(X, Y, 2), patience=1, min_improvement=(falls[0] + falls[1]) / 2, **JOB)[0]

    assert (2, 3) == (outcome.report.epoch, len(outcome.epochs))
    assert losses[:3] == [epoch.loss for epoch in outcome.epochs]
