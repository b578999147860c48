"""A user's torch.nn.Module: gradients beside torch's, buffers, dropout, types of parameters, losses, errors."""

import importlib
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse
import torch
from torch.nn import functional

from tests.support.networks import one_thread
from tests.support.training_alone import dealt, train_together
from training.errors import InputError
from training.model.catalogue import make_model

pytestmark = pytest.mark.torch

FEATURES, CLASSES = 6, 3
MODULE = """
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Net(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(n_features, 8), nn.Tanh())
            self.head = nn.Linear(8, n_classes)

        def forward(self, x):
            return self.head(self.body(x))


    class Normed(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.body.append(nn.BatchNorm1d(8))


    class Cumulative(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.body.append(nn.BatchNorm1d(8, momentum=None))


    class Dropped(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.body.append(nn.Dropout(0.5))


    class Double(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.double()


    class Half(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.bfloat16()


    class Frozen(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.body.requires_grad_(False)


    class Tied(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.down, self.up = nn.Linear(n_features, n_features), nn.Linear(n_features, n_features)
            self.up.weight = self.down.weight
            self.head = nn.Linear(n_features, n_classes)

        def forward(self, x):
            return self.head(self.up(torch.tanh(self.down(x))))


    class Lazy(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.body = nn.LazyLinear(n_classes)

        def forward(self, x):
            return {"features": x, "logits": self.body(x)}


    class Mean(Net):
        def loss(self, outputs, targets):
            return F.cross_entropy(outputs, targets)


    class Sum(Net):
        def loss(self, outputs, targets):
            return F.cross_entropy(outputs, targets, reduction="sum")


    class Object(Net):
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)


    class Function(Net):
        loss = F.cross_entropy


    class Odd(Net):
        def loss(self, outputs, targets):
            return F.cross_entropy(outputs, targets) + 0.1 * len(targets)


    class Regression(Net):
        loss = "squared"


    class Absolute(Net):
        loss = F.l1_loss


    class Margin(Net):
        def __init__(self, n_features):
            super().__init__(n_features, 1)


    class Empty(nn.Module):
        def forward(self, x):
            return x


    class Wide(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, 7)


    class Detached(Net):
        def forward(self, x):
            return super().forward(x).detach()


    class Counting(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def forward(self, x):
            self.calls += self.training
            return super().forward(x)


    class Shared(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.register_buffer("table", torch.zeros(3))
            self.head.register_buffer("table", self.table)


    class Root(Net):
        def forward(self, x):
            return super().forward(x) + torch.sqrt(self.head.bias.clamp(min=0) * 0).sum()


    class Mismatched(Net):
        def forward(self, x):
            return self.body(x[:, :2])


    class Unseeded(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            with torch.no_grad():
                self.head.bias.normal_(generator=torch.Generator().manual_seed(id(self)))
"""


@pytest.fixture(autouse=True)
def single_thread():
    """Every test runs torch in one thread."""
    with one_thread():
        yield


@pytest.fixture(autouse=True, scope="module")
def module(tmp_path_factory):
    """The module that users have written."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "nets.py").write_text(textwrap.dedent(MODULE))
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("nets", None)


def made(name, **facts):
    """A model of the module."""
    return make_model(f"nets:{name}", **{"n_features": FEATURES, "n_classes": CLASSES} | facts)


def rows_of(rows=60, seed=0):
    """Rows of three classes that three features tell apart."""
    random = np.random.default_rng(seed)
    y = random.integers(0, CLASSES, rows)
    x = random.normal(size=(rows, FEATURES)).astype(np.float32)
    x[np.arange(rows), y] += 2
    return x, y


def bare(name, **arguments):
    """The same module as a user of plain PyTorch makes it."""
    torch.manual_seed(0)
    return getattr(importlib.import_module("nets"), name)(**{"n_features": FEATURES, "n_classes": CLASSES} | arguments)


def flat_gradient(net):
    """What autograd has left, as one vector."""
    return np.concatenate([array.grad.float().numpy().ravel() for array in net.parameters() if array.requires_grad])


@pytest.mark.parametrize("name", ["Net", "Normed", "Double", "Half", "Frozen", "Tied"])
def test_the_gradient_is_torchs(name):
    """Start, loss and gradient are those of the module alone, whatever its parameters' shapes and types."""
    model, net, (x, y) = made(name), bare(name), rows_of()
    dtype = next(net.parameters()).dtype

    loss, gradient, _ = model.loss_and_gradient(model.initial(0), x, y)
    expected = functional.cross_entropy(net(torch.tensor(x, dtype=dtype)), torch.tensor(y), reduction="sum")
    expected.backward()

    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-5
    assert pytest.approx(expected.item(), rel=tolerance) == loss
    np.testing.assert_allclose(
        gradient[: model.sections.trained], flat_gradient(net), rtol=tolerance, atol=tolerance * 10
    )


def test_the_gradient_is_that_of_finite_differences():
    """Along random directions the loss changes as the gradient says, in float64."""
    model, (x, y) = made("Double"), rows_of()
    start = model.initial(0)
    gradient = model.loss_and_gradient(start, x, y).gradient

    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=start.size).astype(np.float32)
        step = np.float32(1e-2) * direction
        change = model.loss_and_gradient(start + step, x, y).loss - model.loss_and_gradient(start - step, x, y).loss
        assert pytest.approx(float(gradient @ direction), rel=1e-2) == change / 2e-2


def test_running_statistics_are_exchanged_as_their_change():
    """After a gradient come the changes of mean and variance times the rows, as torch makes them; counters stay."""
    model, net, (x, y) = made("Normed"), bare("Normed"), rows_of()
    trained, averaged = model.sections
    start = model.initial(0)

    gradient = model.loss_and_gradient(start, x, y).gradient
    net(torch.tensor(x))

    assert 16 == averaged
    after = start[trained:] + gradient[trained:] / 60
    expected = np.concatenate([net.body[2].running_mean.numpy(), net.body[2].running_var.numpy()])
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-6)
    assert 0 == model.penalised()[trained:].sum()


def test_running_statistics_are_averaged_by_rows():
    """Three ranks end with the mean of their statistics, weighted by rows; a step with Adam does not touch them."""
    x, y = rows_of()
    shards = dealt(x, y, 3)

    outcomes = train_together(shards, model="nets:Normed", batch_size=100, n_epochs=1, optimiser="adam", lr=0.01)

    model = made("Normed")
    trained, start = model.sections.trained, model.initial(0)
    changes = []
    for rank, shard in enumerate(shards):
        model.begin_step(1, rank)
        changes.append(model.loss_and_gradient(start, shard.x, shard.y).gradient[trained:])
    np.testing.assert_allclose(
        outcomes[0].parameters[trained:], start[trained:] + sum(changes) / 60, rtol=1e-5, atol=1e-6
    )


def test_a_cumulative_average_counts_steps():
    """With momentum=None the weight of a batch follows from the step's number, so a rank that comes back agrees."""
    model, (x, y) = made("Cumulative"), rows_of()
    start = model.initial(0)

    def changes(step):
        model.begin_step(step, 0)
        return model.loss_and_gradient(start, x, y).gradient[model.sections.trained :]

    first, fourth = changes(1), changes(4)
    np.testing.assert_allclose(first, 4 * fourth, rtol=1e-4, atol=1e-4)
    assert first.tobytes() == changes(1).tobytes()


def test_dropout_is_drawn_from_seed_step_and_rank():
    """The same step of a rank drops the same units, on any instance; another step or rank drops others."""
    (x, y), start = rows_of(), made("Dropped").initial(0)

    def gradient(step, rank, seed=0):
        model = made("Dropped", seed=seed)
        torch.rand(step)  # the global generator's state does not matter
        model.begin_step(step, rank)
        return model.loss_and_gradient(start, x, y).gradient.tobytes()

    assert gradient(3, 1) == gradient(3, 1)
    assert 4 == len({gradient(3, 1), gradient(4, 1), gradient(3, 2), gradient(3, 1, seed=1)})


@pytest.mark.parametrize(
    ("name", "optim"),
    [
        ("Dropped", "grad_avg"),
        ("Normed", "model_avg"),
        ("Frozen", "model_avg"),
        ("Tied", "grad_avg"),
        ("Lazy", "grad_avg"),
    ],
)
def test_ranks_learn_together(name, optim):
    """Three ranks have the same bits and learn; training again gives the same bits."""
    x, y = rows_of(300)
    job = {"model": f"nets:{name}", "optim": optim, "lr": 0.1, "batch_size": 20, "n_epochs": 6}

    outcomes = train_together(dealt(x, y, 3), **job)

    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert outcomes[0].report.accuracy > 0.7
    assert outcomes[0].parameters.tobytes() == train_together(dealt(x, y, 3), **job)[0].parameters.tobytes()


def test_three_ranks_compute_what_one_computes():
    """A module whose rows are independent ends within 1e-4 of a single rank on all rows."""
    x, y = rows_of(300)
    job = {"model": "nets:Net", "lr": 0.1, "n_epochs": 5}

    one = train_together(dealt(x, y, 1), batch_size=60, **job)[0].parameters
    three = train_together(dealt(x, y, 3), batch_size=20, **job)[0].parameters

    np.testing.assert_allclose(one, three, rtol=1e-4, atol=1e-4)


def test_async_trains_it_too():
    """Parts of other rounds change neither shapes nor sections."""
    x, y = rows_of(300)
    outcomes = train_together(
        dealt(x, y, 2), model="nets:Normed", sync_mode="async", max_staleness=2, lr=0.1, batch_size=20, n_epochs=6
    )
    assert outcomes[0].report.accuracy > 0.7


def test_frozen_parameters_stay_and_are_not_exchanged():
    """The gradient has no place for them, and they end as they began."""
    x, y = rows_of(300)
    model = made("Frozen")
    exchanged, start = model.sections.exchanged, model.initial(0)

    outcome = train_together(dealt(x, y, 2), model="nets:Frozen", lr=0.1, batch_size=20, n_epochs=2, lambda_=0.1)[0]

    assert 8 * CLASSES + CLASSES == exchanged
    assert start[exchanged:].tobytes() == outcome.parameters[exchanged:].tobytes()
    assert (start[:exchanged] != outcome.parameters[:exchanged]).all()


def test_a_batch_of_one_row_passes_with_running_statistics():
    """Torch refuses a batch without variance; the row counts nevertheless."""
    model, (x, y) = made("Normed"), rows_of(1)
    answer = model.loss_and_gradient(model.initial(0), x, y)
    assert 1 == answer.samples
    assert np.isfinite(answer.gradient).all()


def test_biases_and_normalisations_are_not_penalised():
    """The mask has the weights alone."""
    model = made("Normed")
    assert FEATURES * 8 + 8 * CLASSES == model.penalised().sum()


@pytest.mark.parametrize("name", ["Mean", "Sum", "Function"])
def test_losses_are_sums_over_rows(name):
    """A function may return the mean, the sum or, as torch's do without reduction, a loss per row."""
    (x, y), plain = rows_of(), made("Net")
    expected = plain.loss_and_gradient(plain.initial(0), x, y)

    found = made(name).loss_and_gradient(plain.initial(0), x, y)

    assert pytest.approx(expected.loss, rel=1e-5) == found.loss
    np.testing.assert_allclose(expected.gradient, found.gradient, rtol=1e-4, atol=1e-5)


def test_class_weights_weigh_rows():
    """The loss of a row counts by the weight of its class, also with an object of torch as the loss."""
    (x, y), weights = rows_of(), [1.0, 2.0, 0.5]
    for name in ("Net", "Object"):
        model = made(name)
        start = model.initial(0)
        parts = [model.loss_and_gradient(start, x[y == k], y[y == k]).loss for k in range(CLASSES)]
        expected = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        assert pytest.approx(expected, rel=1e-5) == model.weighted(weights).loss_and_gradient(start, x, y).loss
    with pytest.raises(InputError, match="class_weights need a loss per row; loss returns one number for all"):
        made("Mean").weighted(weights).loss_and_gradient(start, x, y)


@pytest.mark.parametrize(("name", "loss"), [("Regression", None), ("Regression", "squared"), ("Absolute", "squared")])
def test_a_regression_has_one_output(name, loss):
    """Targets are numbers, and are never broadcast over the rows."""
    x, _ = rows_of()
    y = x[:, 0] * 3
    facts = {"n_classes": 1, "task": "regression", "loss": loss or "squared"}
    model = make_model(f"nets:{name}", n_features=FEATURES, **facts)
    start = model.initial(0)

    found = model.evaluate(start, x, y)

    predictions = model.predict(start, x)
    residuals = predictions[:, 0] - y
    expected = 0.5 * np.square(residuals).sum() if name == "Regression" else np.abs(residuals).sum()
    assert (60, 1) == predictions.shape
    assert pytest.approx(expected, rel=1e-4) == found.loss


def test_a_single_output_is_the_margin_of_the_second_class():
    """Two classes need one output; the scores are both probabilities."""
    x, y = rows_of()
    model = make_model("nets:Margin", n_features=FEATURES, n_classes=2)
    scores = model.predict(model.initial(0), x)
    assert (60, 2) == scores.shape
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    loss = model.evaluate(model.initial(0), x, (y > 0).astype(np.int64)).loss
    assert pytest.approx(-np.log(scores[np.arange(60), (y > 0).astype(int)]).sum(), rel=1e-4) == loss


def test_evaluation_goes_through_rows_in_pieces():
    """More rows than pass at once give the same loss and scores."""
    model, (x, y) = made("Net"), rows_of(3000)
    start = model.initial(0)
    whole = model.evaluate(start, x, y)
    parts = [model.evaluate(start, x[rows], y[rows]) for rows in (slice(0, 700), slice(700, None))]
    assert pytest.approx(sum(part.loss for part in parts), rel=1e-5) == whole.loss
    np.testing.assert_allclose(np.concatenate([part.scores for part in parts]), whole.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Empty", "has no parameter with requires_grad: there is nothing to train"),
        ("Wide", r"forward returns \(60, 7\) for 60 rows; wanted: \(60, 3\), a score for each class and row"),
        ("Detached", "the loss does not depend on the parameters"),
        ("Counting", r"the buffer calls \(torch.int64\) changed in a training step"),
        ("Root", r"the loss is finite and its gradient is not: nan at head.bias\[\d\]"),
        ("Mismatched", r"raised RuntimeError when it computed a gradient \(nets.py line \d+\): mat1 and mat2 shapes"),
        ("Shared", "the buffer head.table is another module's as well"),
        ("Odd", "wanted: a loss per row, their sum or their mean"),
        ("Regression", "its loss squared is a regression's, and the job trains a classification: set loss=squared"),
    ],
)
def test_a_module_that_cannot_be_trained_is_refused(name, message):
    """The error says what the module does and what is wanted, in one line."""
    x, y = rows_of()
    with pytest.raises(InputError, match=message) as caught:
        train_together(dealt(x, y, 1), model=f"nets:{name}", n_epochs=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"), [("Net", True), ("Object", True), ("Function", True), ("Mean", False), ("Margin", True)]
)
def test_scores_are_probabilities_where_the_loss_is_known(name, expected):
    """A cross-entropy by name or of torch has probabilities; what another function's outputs are is not known."""
    model = make_model(f"nets:{name}", n_features=FEATURES, n_classes=2 if name == "Margin" else CLASSES)
    assert expected == model.has_probabilities
    assert expected == np.allclose(model.predict(model.initial(0), rows_of()[0]).sum(axis=1), 1, atol=1e-5)


def test_sparse_rows_are_made_dense_batch_by_batch():
    """A CSR matrix gives what its dense form gives."""
    x, y = rows_of()
    x[np.abs(x) < 1] = 0
    model, start = made("Net"), made("Net").initial(0)
    dense, sparse = (model.loss_and_gradient(start, rows, y) for rows in (x, scipy.sparse.csr_array(x)))
    assert dense.loss == sparse.loss
    assert dense.gradient.tobytes() == sparse.gradient.tobytes()
    np.testing.assert_array_equal(model.predict(start, x), model.predict(start, scipy.sparse.csr_array(x)))
