"""Models of one's own: made from the job, their gradients, their buffers, their errors."""

import sys
import textwrap

import numpy as np
import pytest

from tests.support.training_alone import dealt, train_together
from training.errors import InputError
from training.model.catalogue import make_model

SOFTMAX = """
import numpy as np


class Softmax:
    convex = True

    def __init__(self, n_features, n_classes):
        self.shape = (n_features, n_classes)

    def initial(self, seed):
        return np.zeros(self.shape, np.float32).ravel()

    def _shares(self, parameters, x):
        margins = x @ parameters.reshape(self.shape)
        shares = np.exp(margins - margins.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def loss_and_gradient(self, parameters, x, y):
        shares = self._shares(parameters, x)
        loss = -np.log(shares[np.arange(len(y)), y]).sum()
        shares[np.arange(len(y)), y] -= 1
        return loss, (x.T @ shares).ravel()

    def evaluate(self, parameters, x, y):
        shares = self._shares(parameters, x)
        return -np.log(shares[np.arange(len(y)), y]).sum(), shares


def made(job):
    return Softmax(job["n_features"], job["n_classes"])


class Drawn(Softmax):
    def initial(self, seed):
        return np.random.normal(size=self.shape).astype(np.float32).ravel()


class Unseeded(Softmax):
    def initial(self, seed):
        return np.random.default_rng().normal(size=self.shape).astype(np.float32).ravel()


class Infinite(Softmax):
    def loss_and_gradient(self, parameters, x, y):
        loss, gradient = super().loss_and_gradient(parameters, x, y)
        gradient[3] = np.inf
        return loss, gradient


class Short(Softmax):
    def loss_and_gradient(self, parameters, x, y):
        return 1.0, np.zeros(2)


class Narrow(Softmax):
    def evaluate(self, parameters, x, y):
        return 1.0, np.zeros((len(y), 7))


class Raises(Softmax):
    def __init__(self, n_features, n_classes):
        raise ValueError("too many features")


class Wide(Softmax):
    def __init__(self, n_features, width):
        self.width = width


def nothing():
    return {"a": 1}


ready = Softmax(4, 3)


class Called(Softmax):
    def __call__(self, x):
        raise RuntimeError("a model is not called")


called = Called(4, 3)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module which can be imported until the test ends."""
    names = []

    def write(source, name="theirs"):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        sys.modules.pop(name, None)
        names.append(name)

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in names:
        sys.modules.pop(name, None)


def rows_of(seed=0, rows=90):
    """Rows of three classes that four features tell apart."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, rows)
    x = random.normal(size=(rows, 4)).astype(np.float32)
    x[np.arange(rows), y] += 2
    return x, y


@pytest.mark.parametrize("name", ["Softmax", "made", "ready", "called"])
def test_a_class_a_function_and_an_instance_are_models(module, name):
    """All three give the same model; its scores are those of `evaluate`, and every parameter is penalised."""
    module(SOFTMAX)
    model, (x, y) = make_model(f"theirs:{name}", n_features=4, n_classes=3), rows_of()

    loss, gradient, rows = model.loss_and_gradient(model.initial(0), x, y)

    assert pytest.approx(90 * np.log(3), rel=1e-5) == loss
    assert (12,) == gradient.shape
    assert 90 == rows
    assert (90, 3) == model.predict(model.initial(0), x).shape
    assert 12 == model.penalised().sum()


def test_the_global_generators_are_seeded_by_the_job_and_left_as_they_were(module):
    """A model that draws from numpy.random starts from the seed, wherever the generator was."""
    module(SOFTMAX)
    model = make_model("theirs:Drawn", n_features=4, n_classes=3)
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002

    first = model.initial(1)

    assert expected == np.random.rand()  # noqa: NPY002
    assert first.tobytes() == model.initial(1).tobytes()
    assert first.tobytes() != model.initial(2).tobytes()


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg", "admm"])
def test_it_is_trained_as_one_of_the_catalogue(module, optim):
    """Three ranks learn the classes, and all have the same bits."""
    module(SOFTMAX)
    x, y = rows_of(rows=300)

    outcomes = train_together(
        dealt(x, y, 3), model="theirs:Softmax", optim=optim, lr=0.5, batch_size=20, n_epochs=5, lambda_=0.001
    )

    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert outcomes[0].report.accuracy > 0.7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("theirs:Sofmax", "the module theirs has no Sofmax; it defines Softmax, made, Drawn"),
        ("not_there:Net", "the function's package has no module not_there"),
        ("theirs:Raises", r"raised ValueError when it was made \(theirs.py line \d+\): too many features"),
        ("theirs:Wide", "takes `width`, which a job does not have: give it a default"),
        ("theirs:nothing", "is a dict, and neither a torch.nn.Module nor an object with initial, .* it lacks initial"),
    ],
)
def test_what_makes_no_model_is_refused(module, name, message):
    """The error names the model and what is wrong with it, in one line."""
    module(SOFTMAX)
    with pytest.raises(InputError, match=message) as caught:
        make_model(name, n_features=4, n_classes=3)
    assert f"model={name}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def forward(self x):\n    pass\n", r"theirs.py is not Python: line 1: .* in `def forward\(self x\):`"),
        ("import einops_of_nobody\n", "imports einops_of_nobody, which this function lacks.* add einops_of_nobody to"),
        ("x = 1\ny = x / 0\n", r"the module theirs raised ZeroDivisionError \(theirs.py line 2\): division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(module, source, message):
    """The error has the file and the line, and what to add to the requirements."""
    module(source)
    with pytest.raises(InputError, match=message):
        make_model("theirs:Net", n_features=4, n_classes=3)


def test_an_error_in_a_library_beside_the_model_names_the_models_line(module, tmp_path, monkeypatch):
    """In a package, libraries lie beside the model's file; the line that calls them helps, theirs does not."""
    (tmp_path / "library_of_theirs.py").write_text("def divide():\n\n\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    module("import library_of_theirs\nlibrary_of_theirs.divide()\n")

    with pytest.raises(InputError, match=r"raised ZeroDivisionError \(theirs.py line 2\)"):
        make_model("theirs:Net", n_features=4, n_classes=3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Infinite", r"the gradient is not finite at index 3 \(inf\), 1 of 12 in all"),
        ("Short", r"the gradient has shape \(2,\); wanted: that of the parameters, \(12,\)"),
        ("Narrow", r"returns scores of shape \(\d+, 7\); wanted: \(\d+, 3\)"),
    ],
)
def test_what_a_model_returns_is_checked(module, name, message):
    """A gradient or scores of another shape, or not finite, stop the training."""
    module(SOFTMAX)
    x, y = rows_of()
    with pytest.raises(InputError, match=message):
        train_together(dealt(x, y, 1), model=f"theirs:{name}", n_epochs=1)


def test_advice_does_not_compare_an_own_loss_with_the_built_in_ones(module):
    """A loss a thousand times that of logistic regression is no reason for a warning; a constant prediction is."""
    module(
        SOFTMAX
        + """
class Scaled(Softmax):
    def loss_and_gradient(self, parameters, x, y):
        loss, gradient = super().loss_and_gradient(parameters, x, y)
        return 1000 * loss, 1000 * gradient

    def evaluate(self, parameters, x, y):
        loss, scores = super().evaluate(parameters, x, y)
        return 1000 * loss, scores


class Constant(Scaled):
    def loss_and_gradient(self, parameters, x, y):
        return super().loss_and_gradient(parameters, x, y)[0], np.zeros_like(parameters)
"""
    )
    x, y = rows_of(rows=300)
    job = {"lr": 1e-4, "batch_size": 20, "n_epochs": 5}

    learnt = train_together(dealt(x, y, 1), model="theirs:Scaled", **job)[0].warnings
    nothing = train_together(dealt(x, y, 1), model="theirs:Constant", **job)[0].warnings

    assert "loss_above_zero_model" not in {advice.code for advice in learnt}
    assert {"constant_prediction"} == {advice.code for advice in nothing}
