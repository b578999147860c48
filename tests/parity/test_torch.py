"""Every closed-form gradient is what torch's autograd finds for the same loss, written down independently."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.linear import logistic_regression, support_vector_machine
from training.model.regression import linear_regression
from training.model.torch_losses import predicted, summed_loss

pytestmark = pytest.mark.torch


def reference_loss(name, parameters, x, y, n_classes):
    """The summed loss in torch's own words."""
    outputs = 1 if n_classes == 2 else n_classes
    matrix = parameters.reshape(-1, outputs)
    margins = x @ matrix[:-1] + matrix[-1]
    if name == "lr" and n_classes == 2:
        return torch.nn.functional.binary_cross_entropy_with_logits(margins[:, 0], y.double(), reduction="sum")
    if name == "lr":
        return torch.nn.functional.cross_entropy(margins, y, reduction="sum")
    if n_classes == 2:
        return torch.relu(1 - (2 * y - 1) * margins[:, 0]).sum()
    signs = 2 * torch.nn.functional.one_hot(y, n_classes) - 1
    return torch.relu(1 - signs * margins).sum()


@pytest.mark.parametrize(("name", "make"), [("lr", logistic_regression), ("svm", support_vector_machine)])
@settings(deadline=None)
@given(
    n_classes=st.sampled_from([2, 3, 10]),
    n_features=st.integers(1, 6),
    rows=st.integers(1, 12),
    missing=st.booleans(),
    seed=st.integers(0, 999),
)
def test_the_gradient_is_autograds(name, make, n_classes, n_features, rows, missing, seed):
    """Loss and gradient agree, also for one row, one feature, and shards in which a class is missing."""
    random = np.random.default_rng(seed)
    model = make(n_features, n_classes)
    parameters = random.normal(size=model.initial(0).shape).astype(np.float32)
    x = random.normal(size=(rows, n_features)).astype(np.float32)
    y = random.integers(0, n_classes - missing, rows)
    variable = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)

    expected = reference_loss(name, variable, torch.tensor(x, dtype=torch.float64), torch.tensor(y), n_classes)
    expected.backward()
    loss, gradient, samples = model.loss_and_gradient(parameters, x, y)

    assert rows == samples
    assert expected.item() == pytest.approx(loss, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(gradient, variable.grad.numpy(), rtol=1e-3, atol=1e-4)


LOSSES = {
    "squared": lambda outputs, y: 0.5 * torch.nn.functional.mse_loss(outputs, y, reduction="sum"),
    "huber": lambda outputs, y: torch.nn.functional.huber_loss(outputs, y, reduction="sum", delta=0.7),
    "poisson": lambda outputs, y: torch.nn.functional.poisson_nll_loss(outputs, y, reduction="sum"),
}


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None, max_examples=30)
@given(n_features=st.integers(1, 6), rows=st.integers(1, 12), seed=st.integers(0, 999))
def test_the_gradient_of_a_regression_is_autograds(loss, n_features, rows, seed):
    """Loss and gradient of the linear model agree with torch's own losses, for targets of 0 and more."""
    random = np.random.default_rng(seed)
    model = linear_regression(n_features, 1, loss, 0.7)
    parameters = random.normal(size=n_features + 1).astype(np.float32)
    x = random.normal(size=(rows, n_features)).astype(np.float32)
    y = random.poisson(1.5, rows).astype(np.float32)
    variable = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)

    outputs = torch.tensor(x, dtype=torch.float64) @ variable[:-1] + variable[-1]
    expected = LOSSES[loss](outputs, torch.tensor(y, dtype=torch.float64))
    expected.backward()
    found, gradient, samples = model.loss_and_gradient(parameters, x, y)

    assert rows == samples
    assert expected.item() == pytest.approx(found, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(gradient, variable.grad.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_a_network_is_the_linear_models(loss):
    """`mlp` and `linear` share the formulas: the loss of outputs is the same, and so are predictions."""
    x = np.linspace(-1, 1, 9, dtype=np.float32)[:, np.newaxis]
    y = np.arange(9, dtype=np.float32)
    linear = linear_regression(1, 1, loss, 0.7).evaluate(np.array([1, 0], np.float32), x, y)
    outputs = torch.tensor(x)

    assert summed_loss(loss, outputs, torch.tensor(y), huber_delta=0.7).item() == pytest.approx(linear.loss, rel=1e-5)
    np.testing.assert_allclose(predicted(loss, outputs).numpy(), linear.scores, rtol=1e-6)
