"""Regression against scikit-learn: the same predictions from the same rows, on one rank and on several."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_diabetes
from sklearn.linear_model import HuberRegressor, LinearRegression, PoissonRegressor, Ridge
from sklearn.preprocessing import StandardScaler

from tests.support.training_alone import dealt, train_together
from training.errors import InputError
from training.model.regression import linear_regression

RANKS = 3


@pytest.fixture(scope="module")
def diabetes():
    """Rows in a fixed random order, standardised, and their targets: mean 152, standard deviation 77."""
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return StandardScaler().fit_transform(x)[order].astype(np.float32), y[order].astype(np.float32)


def trained(x, y, world_size=RANKS, **job):
    """The outcome of a training with one batch per epoch, and its predictions in the unit of the targets."""
    settings = {"model": "linear", "lr": 0.2, "batch_size": 10_000, "n_epochs": 400, **job}
    shards = dealt(x, y, world_size)
    outcomes = train_together(shards, **settings)
    assert all(np.array_equal(outcomes[0].parameters, outcome.parameters) for outcome in outcomes)
    loss, delta = settings.get("loss", "squared"), settings.get("huber_delta", 1.0)
    scores = linear_regression(x.shape[1], 1, loss, delta).predict(outcomes[0].parameters, x)
    return outcomes[0], shards[0].target.undo(scores)[:, 0]


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg", "admm"])
def test_squared_loss_agrees_with_least_squares(diabetes, optim):
    """Every algorithm comes within 0.5 % of the squared error of LinearRegression."""
    x, y = diabetes
    most = {"n_admm_epochs": 60, "n_epochs": 10} if optim == "admm" else {}
    best = LinearRegression().fit(x, y).predict(x)

    outcome, predictions = trained(x, y, optim=optim, **most)

    assert np.mean((predictions - y) ** 2) <= 1.005 * np.mean((best - y) ** 2)
    assert outcome.report.metrics["rmse"] == pytest.approx(np.sqrt(np.mean((predictions - y) ** 2)), rel=1e-5)


def test_the_l2_penalty_is_that_of_ridge(diabetes):
    """Lambda is Ridge's alpha by row, for features of variance 1."""
    x, y = diabetes
    expected = Ridge(alpha=0.1 * len(y)).fit(x, y).predict(x)

    _, predictions = trained(x, y, lambda_=0.1)

    np.testing.assert_allclose(predictions, expected, atol=0.05)


def test_huber_loss_agrees_with_scikit_learn(diabetes):
    """With outliers, the predictions are those of HuberRegressor, whose limit is in units of its own scale."""
    x, y = diabetes
    y = y.copy()
    y[::25] += 2000
    reference = HuberRegressor(epsilon=1.35, alpha=0, max_iter=1000).fit(x, y)
    delta = 1.35 * reference.scale_ / y.std()

    _, predictions = trained(x, y, 1, loss="huber", huber_delta=float(delta), lr=0.1, momentum=0.9, n_epochs=1200)

    np.testing.assert_allclose(predictions, reference.predict(x), rtol=0.01, atol=1)


def test_poisson_loss_agrees_with_scikit_learn():
    """Counts with a log link: the predictions are those of PoissonRegressor."""
    random = np.random.default_rng(1)
    x = random.normal(size=(600, 4)).astype(np.float32)
    y = random.poisson(50 * np.exp(x @ np.array([0.5, -0.2, 0.1, 0]))).astype(np.float32)
    expected = PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000).fit(x, y).predict(x)

    _, predictions = trained(x, y, loss="poisson", lr=0.3)

    np.testing.assert_allclose(predictions, expected, rtol=1e-3)


@pytest.mark.parametrize("loss", ["squared", "huber", "poisson"])
def test_several_ranks_train_what_one_trains(diabetes, loss):
    """One rank with the whole batch and three with a third of it give the same model, up to rounding."""
    x, y = diabetes

    one, several = (trained(x, y, ranks, loss=loss, n_epochs=20)[1] for ranks in (1, 3))

    np.testing.assert_allclose(one, several, rtol=1e-3)


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg", "admm"])
def test_sparse_rows_train_as_dense_ones(diabetes, optim):
    """CSR rows give the model that the same rows give when dense."""
    x, y = diabetes
    x = np.where(np.abs(x) > 1, x, np.float32(0))

    dense, sparse = (
        trained(rows, y, model=model, optim=optim, n_epochs=5)[1]
        for rows, model in ((x, "linear"), (scipy.sparse.csr_array(x), "sparse_linear"))
    )

    np.testing.assert_allclose(dense, sparse, rtol=1e-3)


def test_equal_targets_are_told(diabetes):
    """Targets without any spread: the model predicts them, and a warning says that there is nothing to learn."""
    x, y = diabetes

    outcome, predictions = trained(x, np.full_like(y, 152), n_epochs=2)

    np.testing.assert_allclose(predictions, 152)
    assert ["constant_target"] == [warning.code for warning in outcome.warnings]


@pytest.mark.torch
@pytest.mark.parametrize("loss", ["squared", "huber", "poisson"])
def test_a_network_learns_large_targets(diabetes, loss):
    """The default learning rate suits targets of any size: an mlp explains a third of their variance."""
    x, y = diabetes

    outcome = train_together(dealt(x, y, 2), model="mlp", loss=loss, n_epochs=30, lr=0.005, momentum=0.9, batch_size=32)

    assert outcome[0].report.metrics["rmse"] < 0.8 * y.std()


def test_negative_counts_are_refused():
    """The error names the row, counted over training and validation rows, and a loss that takes such targets."""
    x, y = np.zeros((10, 1), np.float32), np.arange(10, dtype=np.float32)
    y[8] = -3

    with pytest.raises(InputError, match=r"/0 row 9: the target is -3; loss=poisson takes targets of 0 and more"):
        train_together(dealt(x, y, 1, 0.3), model="linear", loss="poisson")
