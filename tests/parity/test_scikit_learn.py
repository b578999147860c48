"""Our optimum is scikit-learn's on the same objective."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tests.support.training_alone import dealt, train_together

PENALTY = 0.01


def standardised(load):
    """A real set, standardised."""
    x, y = load(return_X_y=True)
    return StandardScaler().fit_transform(x).astype(np.float32), y.astype(np.int64)


def sparse_rows():
    """A sparse synthetic set with a linear signal."""
    random = np.random.default_rng(0)
    x = scipy.sparse.random_array((2000, 300), density=0.02, format="csr", dtype=np.float32, rng=random)
    y = (x @ random.normal(size=300) + 0.1 * random.normal(size=2000) > 0).astype(np.int64)
    return x, y


def logistic_optimum(x, y):
    """scikit-learn's minimum of mean loss + PENALTY/2 ||w||^2, biases free."""
    model = LogisticRegression(C=1 / (PENALTY * len(y)), tol=1e-8, max_iter=10_000).fit(x, y)
    probabilities = model.predict_proba(x)[np.arange(len(y)), y]
    # Two classes have one column of weights; scikit-learn's several columns are penalised one by one, as ours.
    return -np.log(probabilities).mean() + PENALTY / 2 * np.square(model.coef_).sum()


@pytest.mark.parametrize("load", [load_breast_cancer, load_digits])
def test_logistic_regression_reaches_scikit_learns_optimum(load):
    """Binary and softmax regression end within 1 % of the reference loss."""
    x, y = standardised(load)

    outcome = train_together(dealt(x, y, 3), n_epochs=150, batch_size=1000, lr=0.5, momentum=0.9, lambda_=PENALTY)[0]

    assert logistic_optimum(x, y) == pytest.approx(outcome.epochs[-1].loss, rel=0.01)


def test_sparse_logistic_regression_reaches_scikit_learns_optimum():
    """CSR rows end within 1 % of the reference loss."""
    x, y = sparse_rows()

    outcome = train_together(
        dealt(x, y, 2), model="sparse_lr", n_epochs=400, batch_size=1000, lr=5.0, momentum=0.9, lambda_=1e-4
    )[0]

    model = LogisticRegression(C=1 / (1e-4 * len(y)), tol=1e-8, max_iter=10_000).fit(x, y)
    probabilities = model.predict_proba(x)[np.arange(len(y)), y]
    reference = -np.log(probabilities).mean() + 1e-4 / 2 * np.square(model.coef_).sum()
    assert reference == pytest.approx(outcome.epochs[-1].loss, rel=0.01)


def test_the_support_vector_machine_reaches_scikit_learns_optimum():
    """The hinge loss with its penalty ends within 1 % of libsvm's."""
    x, y = standardised(load_breast_cancer)

    outcome = train_together(
        dealt(x, y, 3), model="svm", n_epochs=600, batch_size=1000, lr=0.05, momentum=0.9, lambda_=PENALTY
    )[0]

    model = SVC(kernel="linear", C=1 / (PENALTY * len(y)), tol=1e-6).fit(x, y)
    slack = np.maximum(0, 1 - (2 * y - 1) * model.decision_function(x))
    reference = slack.mean() + PENALTY / 2 * np.square(model.coef_).sum()
    assert reference == pytest.approx(outcome.epochs[-1].loss, rel=0.01)


def test_admm_reaches_scikit_learns_optimum():
    """ADMM with exact local minima ends where scikit-learn does."""
    x, y = standardised(load_breast_cancer)

    outcome = train_together(
        dealt(x, y, 3),
        optim="admm",
        n_epochs=60,
        n_admm_epochs=100,
        batch_size=1000,
        lr=0.3,
        rho=0.1,
        lambda_=PENALTY,
    )[0]

    assert logistic_optimum(x, y) == pytest.approx(outcome.epochs[-1].loss, rel=0.01)


def test_admm_with_l1_reaches_scikit_learns_optimum_and_is_sparse():
    """The soft threshold leaves the same loss and the same zeros as scikit-learn's l1."""
    x, y = standardised(load_breast_cancer)

    outcome = train_together(
        dealt(x, y, 3),
        optim="admm",
        penalty="l1",
        n_epochs=60,
        n_admm_epochs=150,
        batch_size=1000,
        lr=0.3,
        rho=0.1,
        lambda_=0.02,
    )[0]

    model = LogisticRegression(l1_ratio=1.0, solver="saga", C=1 / (0.02 * len(y)), tol=1e-7, max_iter=50_000).fit(x, y)
    loss = -np.log(model.predict_proba(x)[np.arange(len(y)), y]).mean() + 0.02 * np.abs(model.coef_).sum()
    assert loss == pytest.approx(outcome.epochs[-1].loss, rel=0.01)
    zeros = set(np.flatnonzero(outcome.parameters[:-1] == 0))
    assert len(zeros ^ set(np.flatnonzero(model.coef_ == 0))) <= 2
