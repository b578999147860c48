"""Class weights: scikit-learn's and torch's minimum, the same for any number of workers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from tests.support.training_alone import dealt, train_together
from training.errors import InputError
from training.model.linear import logistic_regression, support_vector_machine

PENALTY = 0.01


def rows(count=900, classes=2, features=5):
    """Rows of which few are of the last class."""
    random = np.random.default_rng(2)
    x = random.normal(size=(count, features)).astype(np.float32)
    margins = x[:, :classes] * 1.5 + random.normal(size=(count, classes)) - 1.2 * np.arange(classes)
    return x, margins.argmax(axis=1).astype(np.int64)


def logistic_minimum(x, y, weights):
    """scikit-learn's weighted objective, in our words: the mean over rows of weight times loss, and the penalty."""
    model = LogisticRegression(C=1 / (PENALTY * len(y)), class_weight=weights, tol=1e-8, max_iter=5000).fit(x, y)
    numbers = {c: len(y) / (y.max() + 1) / (y == c).sum() for c in range(y.max() + 1)}
    numbers = numbers if weights == "balanced" else weights
    losses = -np.log(model.predict_proba(x)[np.arange(len(y)), y])
    return np.mean([numbers[c] for c in y] * losses) + PENALTY / 2 * np.square(model.coef_).sum()


@pytest.mark.parametrize("optim", ["grad_avg", "admm"])
@pytest.mark.parametrize(
    ("classes", "text", "weights"),
    [(2, "balanced", "balanced"), (2, "1,5", {0: 1, 1: 5}), (3, "balanced", "balanced"), (3, "1,2,4.5", None)],
)
def test_the_loss_is_scikit_learns(classes, text, weights, optim):
    """For balanced weights and given ones, two classes and more."""
    x, y = rows(classes=classes)
    weights = weights or {0: 1, 1: 2, 2: 4.5}
    limits = {"n_epochs": 60, "n_admm_epochs": 100} if optim == "admm" else {"n_epochs": 400}

    outcome = train_together(
        dealt(x, y, 3), optim=optim, class_weights=text, lambda_=PENALTY, batch_size=1000, lr=0.3, **limits
    )[0]

    assert logistic_minimum(x, y, weights) == pytest.approx(outcome.epochs[-1].loss, rel=0.003)


def test_the_hinge_loss_is_libsvms():
    """A linear SVM with a weight per class, as `SVC` takes them."""
    x, y = rows()
    job = {"model": "svm", "lambda_": PENALTY, "batch_size": 1000, "lr": 0.05, "momentum": 0.9, "n_epochs": 600}

    outcome = train_together(dealt(x, y, 2), class_weights="1,3", **job)[0]

    model = SVC(kernel="linear", C=1 / (PENALTY * len(y)), class_weight={0: 1, 1: 3}, tol=1e-6).fit(x, y)
    slack = np.maximum(0, 1 - (2 * y - 1) * model.decision_function(x))
    least = np.mean(np.where(y == 1, 3, 1) * slack) + PENALTY / 2 * np.square(model.coef_).sum()
    assert least == pytest.approx(outcome.epochs[-1].loss, rel=0.01)


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg"])
def test_three_workers_weigh_as_one(optim):
    """Balanced weights follow from the rows of all workers, also where one worker has a class nobody else has."""
    x, y = rows()
    order = np.argsort(y, kind="stable")
    job = {"optim": optim, "class_weights": "balanced", "n_epochs": 4, "lr": 0.3}
    (alone,) = train_together(dealt(x[order], y[order], 1), batch_size=900, **job)

    together = train_together(dealt(x[order], y[order], 3), batch_size=300, **job)

    np.testing.assert_allclose(together[0].parameters, alone.parameters, atol=1e-5)
    assert 1 == len({outcome.parameters.tobytes() for outcome in together})


def test_rare_classes_are_found_more_often():
    """What weights are for: more rows of the rare class are recognised."""
    x, y = rows()
    job = {"n_epochs": 100, "batch_size": 1000, "lr": 0.5}

    plain, balanced = (
        train_together(dealt(x, y, 2), class_weights=text, **job)[0].parameters for text in ("", "balanced")
    )

    rare = x[y == 1]
    found = [np.mean(rare @ parameters[:-1] + parameters[-1] > 0) for parameters in (plain, balanced)]
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize("make", [logistic_regression, support_vector_machine])
@pytest.mark.parametrize("classes", [2, 4])
def test_weights_of_1_change_nothing_but_rounding(make, classes):
    """Loss and gradient class by class are those of all rows at once; zero rows give zeros."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 3)).astype(np.float32), random.integers(0, classes - 1, 50)
    model = make(3, classes)
    weighted = model.weighted([1.0] * classes)
    parameters = random.normal(size=model.initial(0).shape).astype(np.float32)

    for count in (50, 1, 0):
        plain = model.loss_and_gradient(parameters, x[:count], y[:count])
        same = weighted.loss_and_gradient(parameters, x[:count], y[:count])

        assert plain.loss == pytest.approx(same.loss, rel=1e-5)
        np.testing.assert_allclose(same.gradient, plain.gradient, rtol=1e-5, atol=1e-5)
        assert plain.samples == same.samples


def test_weights_for_another_number_of_classes_are_refused():
    """Without a manifest, workers learn the number of classes from each other."""
    x, y = rows()

    with pytest.raises(InputError, match="class_weights=1,2,3 has 3 numbers, and the data 2 classes"):
        train_together(dealt(x, y, 2), class_weights="1,2,3", n_epochs=1)
