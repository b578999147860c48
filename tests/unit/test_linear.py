"""Linear models: sums that add up over parts, sparse like dense, scores that agree with hits."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from training.metrics.hits import hits_of
from training.model.linear import logistic_regression, support_vector_machine

MODELS = [logistic_regression, support_vector_machine]


def problem(make, n_classes, n_features, rows, seed):
    """A model with random parameters, rows and classes."""
    random = np.random.default_rng(seed)
    model = make(n_features, n_classes)
    parameters = random.normal(size=model.initial(0).shape).astype(np.float32)
    x = random.normal(size=(rows, n_features)).astype(np.float32)
    return model, parameters, x, random.integers(0, n_classes, rows)


shapes = st.tuples(
    st.sampled_from(MODELS), st.sampled_from([2, 3, 10]), st.integers(1, 8), st.integers(1, 20), st.integers(0, 999)
)


@given(shapes, st.integers(0, 20))
def test_parts_add_up_to_the_whole(shape, cut):
    """Loss, gradient and rows of two parts, one possibly empty, add up to those of all rows."""
    model, parameters, x, y = problem(*shape)
    whole = model.loss_and_gradient(parameters, x, y)
    first, second = (model.loss_and_gradient(parameters, x[rows], y[rows]) for rows in (slice(cut), slice(cut, None)))

    assert whole.loss == pytest.approx(first.loss + second.loss, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(whole.gradient, first.gradient + second.gradient, rtol=1e-3, atol=1e-3)
    assert whole.samples == first.samples + second.samples


@given(shapes)
def test_sparse_rows_give_what_dense_rows_give(shape):
    """CSR rows with the same values give the same loss, gradient and scores."""
    model, parameters, x, y = problem(*shape)
    x = np.where(x > 0.3, x, np.float32(0))
    rows = scipy.sparse.csr_array(x)

    dense, sparse = (model.loss_and_gradient(parameters, values, y) for values in (x, rows))

    assert dense.loss == pytest.approx(sparse.loss, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(dense.gradient, sparse.gradient, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.predict(parameters, x), model.predict(parameters, rows), rtol=1e-3, atol=1e-5)


@given(shapes)
def test_predictions_agree_with_the_evaluation(shape):
    """Evaluation returns the scores that predictions have; the class with the largest one counts as a hit."""
    model, parameters, x, y = problem(*shape)

    scores = model.predict(parameters, x)
    evaluation = model.evaluate(parameters, x, y)

    assert scores.tolist() == evaluation.scores.tolist()
    assert np.count_nonzero(scores.argmax(axis=1) == y) == hits_of(evaluation, y).correct


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_extreme_margins_give_finite_losses(make, n_classes):
    """Margins of a thousand overflow neither loss nor gradient."""
    model, parameters, x, y = problem(make, n_classes, 4, 50, 0)

    loss, gradient, _ = model.loss_and_gradient(1000 * parameters, x, y)

    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_two_classes_agree_with_softmax_of_two():
    """The binary model is the softmax model with the difference of its two columns."""
    _, parameters, x, y = problem(logistic_regression, 2, 5, 40, 0)
    matrix = np.stack((np.zeros_like(parameters), parameters), axis=1)

    binary = logistic_regression(5, 2).loss_and_gradient(parameters, x, y)
    softmax_of_two = dataclasses.replace(logistic_regression(5, 3), n_outputs=2)
    softmax = softmax_of_two.loss_and_gradient(matrix.ravel(), x, y)

    assert binary.loss == pytest.approx(softmax.loss, rel=1e-5)
    np.testing.assert_allclose(binary.gradient, softmax.gradient.reshape(6, 2)[:, 1], rtol=1e-3, atol=1e-4)
