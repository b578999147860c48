"""What one algorithm does better than another, and what all of them keep."""

import numpy as np
import pytest

from tests.support.training_alone import dealt, skewed, train_together
from training.matrix import SYNC_MODES, SYNCHRONOUS


def rows(count=2000, features=8, seed=0, noise=1.0):
    """Rows with a linear signal and their classes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, features)).astype(np.float32)
    y = (x @ np.arange(1, features + 1) + noise * 4 * random.normal(size=count) > 0).astype(np.int64)
    return x, y


JOBS = {
    "grad_avg": {"n_epochs": 3, "batch_size": 50},
    "model_avg": {"n_epochs": 3, "batch_size": 50},
    "admm": {"n_epochs": 5, "n_admm_epochs": 4, "batch_size": 100},
}


@pytest.mark.parametrize("model", ["lr", "svm"])
@pytest.mark.parametrize("sync_mode", SYNCHRONOUS)
@pytest.mark.parametrize("optim", JOBS)
def test_every_rank_and_every_mode_ends_with_the_same_bits(model, optim, sync_mode):
    """Parameters do not depend on how parts travelled, nor on the rank."""
    x, y = rows()
    shards = dealt(x, y, 3, valid_ratio=0.1)

    reference = train_together(shards, model=model, optim=optim, sync_mode="all_gather", **JOBS[optim])
    outcomes = train_together(shards, model=model, optim=optim, sync_mode=sync_mode, **JOBS[optim])

    assert {reference[0].parameters.tobytes()} == {outcome.parameters.tobytes() for outcome in outcomes}
    assert reference[0].epochs[-1].loss == outcomes[2].epochs[-1].loss


@pytest.mark.parametrize("model", ["lr", "svm"])
@pytest.mark.parametrize("world_size", [2, 4])
def test_one_model_average_of_whole_batches_is_gradient_averaging(model, world_size):
    """One local step per epoch, averaged by rows, is one step on the averaged gradient."""
    x, y = rows(1001)
    job = {"n_epochs": 4, "batch_size": 1001, "lr": 0.3}

    by_model = train_together(dealt(x, y, world_size), model=model, optim="model_avg", **job)[0]
    by_gradient = train_together(dealt(x, y, 1), model=model, optim="grad_avg", **job)[0]

    np.testing.assert_allclose(by_model.parameters, by_gradient.parameters, atol=1e-5)


def test_admm_beats_model_averaging_on_skewed_shards_and_loses_on_even_ones():
    """Where ranks see different classes the dual pays; where they see the same, averaging is enough."""
    x, y = rows(4000, noise=1.0)
    job = {"lambda_": 0.01, "batch_size": 4000, "lr": 0.5}
    best = train_together(dealt(x, y, 1), n_epochs=600, momentum=0.9, **job)[0].epochs[-1].loss
    budget = {"model_avg": {"n_epochs": 10}, "admm": {"n_admm_epochs": 10, "n_epochs": 100, "rho": 0.1}}

    gaps = {}
    for name, deal in {"even": dealt, "skewed": skewed}.items():
        for optim, limits in budget.items():
            local = job | {"batch_size": 4, "lr": 0.1} if optim == "model_avg" else job
            outcome = train_together(deal(x, y, 10), optim=optim, **(local | limits))[0]
            gaps[name, optim] = outcome.epochs[-1].loss - best

    assert gaps["skewed", "admm"] < gaps["skewed", "model_avg"]
    assert gaps["even", "model_avg"] < gaps["even", "admm"]


def test_admms_residuals_fall_below_boyds_tolerances():
    """ADMM stops by its own test, and its last report shows why."""
    x, y = rows(1000)

    outcome = train_together(
        dealt(x, y, 4), optim="admm", n_admm_epochs=300, n_epochs=50, batch_size=1000, lr=0.5, lambda_=0.01
    )[0]

    first, last = outcome.epochs[0].details, outcome.epochs[-1].details
    assert outcome.rounds < 300
    assert last["primal_residual"] <= last["primal_tolerance"]
    assert last["dual_residual"] <= last["dual_tolerance"]
    assert last["dual_residual"] < first["dual_residual"] / 10


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg"])
def test_async_learns(optim):
    """Stale parts still lead to a model about as good as the synchronous one, the same on every rank."""
    x, y = rows()
    shards = dealt(x, y, 4)
    job = {"optim": optim, "n_epochs": 5, "batch_size": 50}

    exact = train_together(shards, **job)[0]
    stale = train_together(shards, sync_mode="async", max_staleness=2, **job)

    assert stale[0].epochs[-1].loss == pytest.approx(exact.epochs[-1].loss, rel=0.1)
    assert 1 == len({outcome.parameters.tobytes() for outcome in stale})


@pytest.mark.parametrize("optim", JOBS)
def test_the_loss_threshold_stops_all_ranks_in_the_same_round(optim):
    """Training ends after the first epoch that is good enough."""
    x, y = rows()
    job = {"optim": optim, **JOBS[optim], "n_epochs": 20}
    losses = [epoch.loss for epoch in train_together(dealt(x, y, 3), **job)[0].epochs]

    outcomes = train_together(dealt(x, y, 3), loss_threshold=losses[1], **job)

    assert {outcomes[0].rounds} == {outcome.rounds for outcome in outcomes}
    assert 2 == len(outcomes[0].epochs)


def test_the_significance_filter_sends_less_and_still_learns():
    """With the filter a part of the coordinates travels, and the loss ends close to the full one."""
    x, y = rows(4000, features=50)
    job = {"n_epochs": 5, "batch_size": 50}

    full = train_together(dealt(x, y, 2), **job)[0]
    filtered = train_together(dealt(x, y, 2), significance=0.5, **job)[0]

    assert 0 < filtered.details["sent_share"] < 0.9
    assert filtered.epochs[-1].loss == pytest.approx(full.epochs[-1].loss, rel=0.05)


def test_momentum_speeds_up_a_slow_descent():
    """With the same small steps, momentum gets further."""
    x, y = rows()
    job = {"n_epochs": 3, "batch_size": 100, "lr": 0.01}

    plain, fast = (train_together(dealt(x, y, 2), momentum=m, **job)[0].epochs[-1].loss for m in (0.0, 0.9))

    assert fast < plain


def test_the_table_of_modes_names_every_optimiser():
    """Each optimiser has at least the synchronous modes."""
    assert all(set(SYNCHRONOUS) <= set(modes) for modes in SYNC_MODES.values())
