"""What every optimiser keeps: n workers are one, the same bits on all ranks, and the minimum of the objective."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tests.support.training_alone import dealt, train_together

OPTIMISERS = {
    "sgd": {"lr": 0.3},
    "momentum": {"lr": 0.1, "momentum": 0.9},
    "nesterov": {"lr": 0.1, "optimiser": "nesterov", "momentum": 0.9},
    "adam": {"lr": 0.02, "optimiser": "adam"},
    "adamw": {"lr": 0.02, "optimiser": "adamw", "weight_decay": 0.01},
    "scheduled": {"lr": 0.3, "lr_schedule": "cosine", "warmup": 0.2, "clip_norm": 0.1, "weight_decay": 0.01},
    "stepped": {"lr": 0.3, "lr_schedule": "step", "lr_step_epochs": 1, "lr_decay": 0.5},
    "sparse": {"lr": 0.3, "momentum": 0.5, "penalty": "l1", "lambda_": 0.01},
}
LOGISTIC_L1 = 0.02


def rows(count=1201, features=6):
    """Rows with a linear signal and their classes."""
    random = np.random.default_rng(0)
    x = random.normal(size=(count, features)).astype(np.float32)
    return x, (x @ np.arange(features) + 3 * random.normal(size=count) > 0).astype(np.int64)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_three_workers_are_one_with_the_same_global_batch(name):
    """The step is one of the averaged gradient, so it does not depend on the number of workers."""
    x, y = rows()
    (alone,) = train_together(dealt(x, y, 1), n_epochs=3, batch_size=120, **OPTIMISERS[name])

    together = train_together(dealt(x, y, 3), n_epochs=3, batch_size=40, **OPTIMISERS[name])

    np.testing.assert_allclose(together[0].parameters, alone.parameters, rtol=1e-3, atol=1e-4)
    assert alone.rounds == together[0].rounds


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_rank_ends_with_the_same_bits(name, optim):
    """However parts travel, parameters are the same on all ranks, and on all ways of travelling."""
    x, y = rows()
    shards = dealt(x, y, 3)
    job = {"optim": optim, "n_epochs": 2, "batch_size": 50, **OPTIMISERS[name]}

    outcomes = [
        one for mode in ("reduce_scatter", "all_gather") for one in train_together(shards, sync_mode=mode, **job)
    ]

    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_learns_in_async(name):
    """Optimisers' arrays differ among ranks then; their parameters are averaged, and the loss still falls."""
    x, y = rows()
    job = {"n_epochs": 3, "batch_size": 50, **OPTIMISERS[name]}

    outcomes = train_together(dealt(x, y, 3), sync_mode="async", max_staleness=2, **job)

    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert outcomes[0].epochs[-1].loss < 0.6


@pytest.mark.parametrize(
    ("optimiser", "n_arrays"), [({}, 0), ({"momentum": 0.9}, 1), ({"optimiser": "adam"}, 2)], ids=str
)
def test_a_state_holds_what_its_optimiser_needs(optimiser, n_arrays):
    """Plain descent keeps nothing: its snapshots are no larger than its parameters."""
    x, y = rows()

    outcome = train_together(dealt(x, y, 1), n_epochs=1, batch_size=500, **optimiser)[0]

    assert [outcome.parameters.shape] * n_arrays == [array.shape for array in outcome.state.slots]


def test_decay_in_sgd_is_the_l2_penalty_outside_the_loss():
    """weight_decay gives the model that the same lambda gives; the loss then has no penalty."""
    x, y = rows()
    job = {"n_epochs": 3, "batch_size": 100}

    decayed = train_together(dealt(x, y, 2), weight_decay=0.05, **job)[0]
    penalised = train_together(dealt(x, y, 2), lambda_=0.05, **job)[0]

    assert penalised.parameters.tobytes() == decayed.parameters.tobytes()
    weights = decayed.parameters[:-1].astype(np.float64)
    assert penalised.epochs[-1].loss == pytest.approx(decayed.epochs[-1].loss + 0.025 * (weights @ weights), rel=1e-5)


@pytest.mark.parametrize(
    "optimiser",
    [
        {"lr": 0.3},
        {"lr": 0.2, "momentum": 0.9},
        {"lr": 0.2, "optimiser": "nesterov", "momentum": 0.9},
        {"lr": 0.05, "optimiser": "adam", "lr_schedule": "cosine"},
    ],
    ids=["sgd", "momentum", "nesterov", "adam"],
)
def test_l1_by_proximal_steps_reaches_scikit_learns_optimum_and_is_sparse(optimiser):
    """Whatever the optimiser, the loss is that of scikit-learn's l1, and the same weights are exactly 0."""
    x, y = load_breast_cancer(return_X_y=True)
    x, y = StandardScaler().fit_transform(x).astype(np.float32), y.astype(np.int64)

    outcome = train_together(
        dealt(x, y, 3), penalty="l1", lambda_=LOGISTIC_L1, n_epochs=3000, batch_size=1000, **optimiser
    )[0]

    model = LogisticRegression(l1_ratio=1.0, solver="saga", C=1 / (LOGISTIC_L1 * len(y)), tol=1e-7, max_iter=50_000)
    model.fit(x, y)
    loss = -np.log(model.predict_proba(x)[np.arange(len(y)), y]).mean() + LOGISTIC_L1 * np.abs(model.coef_).sum()
    assert loss == pytest.approx(outcome.epochs[-1].loss, rel=0.005)
    zeros = set(np.flatnonzero(outcome.parameters[:-1] == 0))
    assert len(zeros ^ set(np.flatnonzero(model.coef_ == 0))) <= 1


def test_clipping_tames_a_step_that_would_diverge():
    """With a learning rate far too large, clipped steps stay near the start and the loss finite and small."""
    x, y = rows()

    outcome = train_together(dealt(100 * x, y, 2), lr=0.1, clip_norm=0.1, n_epochs=5, batch_size=50)[0]
    wild = train_together(dealt(100 * x, y, 2), lr=0.1, n_epochs=5, batch_size=50)[0]

    assert outcome.epochs[-1].loss < 0.6 < wild.epochs[-1].loss


def test_the_report_of_an_epoch_has_its_last_learning_rate():
    """Where it changes; a constant one is in the job."""
    x, y = rows()
    job = {"n_epochs": 4, "batch_size": 601, "lr": 0.8}

    stepped = train_together(dealt(x, y, 2), lr_schedule="step", lr_step_epochs=2, lr_decay=0.25, **job)[0]
    constant = train_together(dealt(x, y, 2), **job)[0]

    assert [0.8, 0.8, 0.2, 0.2] == [epoch.details["learning_rate"] for epoch in stepped.epochs]
    assert [{}] * 4 == [epoch.details for epoch in constant.epochs]
