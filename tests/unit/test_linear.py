"""Logistic regression: gradients against finite differences, sums that add up over parts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.model.linear import logistic_regression, support_vector_machine


def model_of(n_classes, n_features):
    """The model that a worker takes for so many classes."""
    return logistic_regression(n_features, n_classes)


def problem(n_classes, n_features, rows, seed):
    """A model with random parameters, rows and classes."""
    random = np.random.default_rng(seed)
    model = model_of(n_classes, n_features)
    parameters = random.normal(size=model.initial(0).shape).astype(np.float32)
    x = random.normal(size=(rows, n_features)).astype(np.float32)
    return model, parameters, x, random.integers(0, n_classes, rows)


shapes = st.tuples(st.sampled_from([2, 3, 10]), st.integers(1, 8), st.integers(1, 20), st.integers(0, 999))


@given(shapes)
def test_the_gradient_is_the_slope_of_the_loss(shape):
    """Along a random direction, the loss changes as the gradient says."""
    model, parameters, x, y = problem(*shape)
    direction = np.random.default_rng(1).normal(size=parameters.shape).astype(np.float32)
    step = np.float32(1e-2)

    ahead = model.loss_and_gradient(parameters + step * direction, x, y).loss
    behind = model.loss_and_gradient(parameters - step * direction, x, y).loss
    slope = float(model.loss_and_gradient(parameters, x, y).gradient @ direction)

    assert slope == pytest.approx((ahead - behind) / (2 * float(step)), rel=2e-2, abs=2e-2 * len(y))


@given(shapes, st.integers(0, 20))
def test_parts_add_up_to_the_whole(shape, cut):
    """Loss, gradient and rows of two parts, one possibly empty, add up to those of all rows."""
    model, parameters, x, y = problem(*shape)
    whole = model.loss_and_gradient(parameters, x, y)
    first, second = (model.loss_and_gradient(parameters, x[rows], y[rows]) for rows in (slice(cut), slice(cut, None)))

    assert whole.loss == pytest.approx(first.loss + second.loss, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(whole.gradient, first.gradient + second.gradient, rtol=1e-3, atol=1e-3)
    assert whole.samples == first.samples + second.samples


@pytest.mark.parametrize("n_classes", [2, 3])
def test_extreme_margins_give_finite_losses(n_classes):
    """Margins of a thousand overflow neither loss nor gradient."""
    model, parameters, x, y = problem(n_classes, 4, 50, 0)

    loss, gradient, _ = model.loss_and_gradient(1000 * parameters, x, y)

    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_two_classes_agree_with_softmax_of_two():
    """The binary model is the softmax model with the difference of its two columns."""
    _, parameters, x, y = problem(2, 5, 40, 0)
    matrix = np.stack((np.zeros_like(parameters), parameters), axis=1)

    binary = logistic_regression(5, 2).loss_and_gradient(parameters, x, y)
    softmax_of_two = dataclasses.replace(logistic_regression(5, 3), n_outputs=2)
    softmax = softmax_of_two.loss_and_gradient(matrix.ravel(), x, y)

    assert binary.loss == pytest.approx(softmax.loss, rel=1e-5)
    np.testing.assert_allclose(binary.gradient, softmax.gradient.reshape(6, 2)[:, 1], rtol=1e-3, atol=1e-4)
