"""Neural networks: gradients against finite differences, sums over parts, repeatable bits, learning."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.support.networks import CLASSES, NAMES, network, one_thread, striped_images
from tests.support.ranks import exchange_of, on_all_ranks
from training.algorithm import gradient_averaging
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.channel.memory import MemoryChannel
from training.job import Job
from training.model import neural
from training.model.catalogue import make_model
from training.model.neural import IMAGE_FEATURES, mlp, resnet
from training.run.telemetry import Telemetry

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def single_thread():
    """Every test runs torch in one thread."""
    with one_thread():
        yield


def train_on(world_size, name, x, y, *, valid=None, **job):
    """Trains as `world_size` ranks would, rows dealt round-robin; returns the outcomes by rank."""
    config = Job(
        data_bucket="bucket",
        n_features=IMAGE_FEATURES,
        n_classes=CLASSES,
        n_workers=world_size,
        host="h",
        model=name,
        momentum=0.9,
        **job,
    )
    channel, model = MemoryChannel(), network(name)
    valid_x, valid_y = valid or (x[:0], y[:0])

    def rank_main(rank):
        shard = Shard(x[rank::world_size], y[rank::world_size], valid_x[rank::world_size], valid_y[rank::world_size])
        exchange = exchange_of(channel, rank, world_size, "reduce")
        return gradient_averaging.train(config, model, shard, exchange, Telemetry("run", rank, 1, "request"))

    return on_all_ranks(world_size, rank_main)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_slope_of_the_loss(name):
    """Along a random ascent in each array of the parameters, the loss changes as the gradient says."""
    model, (x, y) = network(name), striped_images(4, 0)
    parameters = model.initial(1)
    gradient = model.loss_and_gradient(parameters, x, y).gradient
    ends = np.cumsum([math.prod(shape) for _, shape in model.parts()])
    random = np.random.default_rng(2)

    for array in np.split(np.arange(parameters.size), ends[:-1]):
        step = np.zeros_like(parameters)
        step[array] = random.uniform(0.5, 1.5, array.size) * gradient[array]
        step *= np.float32(5e-4) / np.linalg.norm(step)  # short, since relu has kinks
        ahead, behind = (model.loss_and_gradient(parameters + s, x, y).loss for s in (step, -step))

        assert 2 * float(gradient @ step) == pytest.approx(ahead - behind, rel=3e-2)


def test_the_gradient_of_mlp_is_the_closed_form():
    """PyTorch's mlp agrees with the same network written out in NumPy."""
    random = np.random.default_rng(0)
    model = mlp(n_features=5, n_classes=3, hidden_units=4)
    parameters = random.normal(size=model.initial(0).size).astype(np.float32)
    x, y = random.normal(size=(50, 5)).astype(np.float32), random.integers(0, 3, 50)

    w1, b1, w2, b2 = np.split(parameters.astype(np.float64), np.cumsum([20, 4, 12]))
    hidden = np.maximum(x @ w1.reshape(4, 5).T + b1, 0)
    scores = hidden @ w2.reshape(3, 4).T + b2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    residuals = probabilities - np.eye(3)[y]
    back = (residuals @ w2.reshape(3, 4)) * (hidden > 0)
    expected = [back.T @ x, back.sum(axis=0), residuals.T @ hidden, residuals.sum(axis=0)]

    loss, gradient, samples = model.loss_and_gradient(parameters, x, y)

    assert 50 == samples
    assert -np.log(probabilities[np.arange(50), y]).sum() == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(gradient, np.concatenate([part.ravel() for part in expected]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.predict(parameters, x), probabilities, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_to_the_whole(name):
    """Loss, gradient, hits and rows of three parts, one of them empty, add up to those of all rows."""
    model, (x, y) = network(name), striped_images(37, 0)
    parameters, cuts = model.initial(1), [slice(5), slice(5, 5), slice(5, None)]

    whole = model.loss_and_gradient(parameters, x, y)
    parts = [model.loss_and_gradient(parameters, x[rows], y[rows]) for rows in cuts]

    assert whole.loss == pytest.approx(sum(part.loss for part in parts), rel=1e-5)
    assert [5, 0, 32] == [part.samples for part in parts]
    np.testing.assert_allclose(whole.gradient, sum(part.gradient for part in parts), rtol=1e-3, atol=1e-4)
    evaluation = model.evaluate(parameters, x, y)
    assert evaluation.loss == pytest.approx(whole.loss, rel=1e-5)
    parts = [model.evaluate(parameters, x[rows], y[rows]) for rows in cuts]
    np.testing.assert_allclose(evaluation.scores, np.concatenate([part.scores for part in parts]), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_zero_rows_give_zeros(name):
    """A rank without rows in a round adds nothing, and predicts nothing."""
    model, (x, y) = network(name), striped_images(1, 0)
    parameters = model.initial(0)

    loss, gradient, samples = model.loss_and_gradient(parameters, x[:0], y[:0])

    assert (0.0, 0) == (loss, samples)
    assert gradient.shape == parameters.shape
    assert not gradient.any()
    assert (0.0, 0) == model.evaluate(parameters, x[:0], y[:0])[:2]
    assert (0, CLASSES) == model.predict(parameters, x[:0]).shape


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_probabilities_that_evaluation_returns(name):
    """Each row's probabilities add up to 1; `evaluate` returns the same."""
    model, (x, y) = network(name), striped_images(33, 0)
    parameters = model.initial(3)

    probabilities = model.predict(parameters, x)

    assert np.float32 == probabilities.dtype
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(33), rtol=1e-5)
    evaluation = model.evaluate(parameters, x, y)
    assert probabilities.tolist() == evaluation.scores.tolist()
    assert -np.log(probabilities[np.arange(33), y]).sum() == pytest.approx(evaluation.loss, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_equal_one_with_the_same_global_batch(name):
    """Mini-batches in file order: the parameters of one worker to float tolerance, and the same bits on both ranks."""
    x, y = striped_images(31, 0)
    (alone,) = train_on(1, name, x, y, batch_size=16, n_epochs=2, lr=1e-3)

    together = train_on(2, name, x, y, batch_size=8, n_epochs=2, lr=1e-3)

    assert 4 == alone.rounds == together[0].rounds
    assert together[0].parameters.tobytes() == together[1].parameters.tobytes()
    assert np.abs(alone.parameters - network(name).initial(0)).max() > 1e-3
    np.testing.assert_allclose(together[0].parameters, alone.parameters, atol=1e-5)


@pytest.mark.parametrize(("name", "lr"), [("mlp", 0.003), ("mobilenet", 0.01), ("resnet", 0.01)])
def test_networks_learn(name, lr):
    """A few passes over 128 striped images are enough to classify new ones, where chance is right once in four."""
    (outcome,) = train_on(
        1, name, *striped_images(128, 0), valid=striped_images(64, 1), batch_size=8, n_epochs=4, lr=lr
    )

    assert outcome.epochs[-1].validation.accuracy > 0.7


def test_weights_start_with_variance_two_by_inputs():
    """He's initialisation, whatever the layer; normalisations start as identities, biases at 0."""
    model = resnet(IMAGE_FEATURES, 10, blocks=3)
    parts = model.parts()
    values = np.split(model.initial(0), np.cumsum([math.prod(shape) for _, shape in parts])[:-1])
    starts = list(zip(parts, values, strict=True))

    ratios = [value.var() * math.prod(part.shape[1:]) / 2 for part, value in starts if part.kind == "weight"]
    np.testing.assert_allclose(ratios, np.ones(len(ratios)), atol=0.2)
    assert {1.0} == {number for part, value in starts if part.kind == "scale" for number in value.tolist()}
    assert {0.0} == {number for part, value in starts if part.kind == "shift" for number in value.tolist()}


@pytest.mark.parametrize("name", NAMES)
def test_the_penalty_counts_weights_alone(name):
    """Weights are what starts at random; biases and normalisations start at 0 or 1 and stay free."""
    model = network(name)
    initial = model.initial(0)

    penalised = model.penalised()

    assert (np.float32, initial.shape) == (penalised.dtype, initial.shape)
    assert {0.0, 1.0} == set(penalised.tolist())
    assert set(initial[penalised == 0].tolist()) <= {0.0, 1.0}
    assert 0 < np.count_nonzero(initial[penalised == 1] % 1 != 0) >= 0.99 * penalised.sum()


def test_a_start_depends_on_its_seed_alone():
    """Another seed is another start; torch's own generator is neither used nor reseeded."""
    model = network("resnet")
    torch.manual_seed(1)
    expected = torch.rand(3).tolist()

    torch.manual_seed(1)
    starts = [model.initial(seed).tobytes() for seed in (0, 0, 1)]

    assert expected == torch.rand(3).tolist()
    assert starts[0] == starts[1] != starts[2]


def test_images_are_read_in_the_order_of_cifar():
    """Number 1024 c + 32 r + k of a row is colour c in pixel (r, k)."""
    image = neural.Images()(torch.arange(IMAGE_FEATURES)[None], iter(()))[0]

    assert 2 * 1024 + 7 * 32 + 5 == image[2, 7, 5]


def test_bytes_are_normalised_and_floats_are_not():
    """A row of bytes is classified as the row of (x / 255 - 0.5) / 0.25, which mlp takes as it is."""
    model, (x, _) = network("mlp"), striped_images(3, 0)
    parameters = model.initial(0)
    floats = ((x / 255 - 0.5) / 0.25).astype(np.float32)

    np.testing.assert_allclose(model.predict(parameters, x), model.predict(parameters, floats), atol=1e-5)


def test_read_only_rows_and_parameters_are_taken():
    """Rows and parameters that came straight from bytes cannot be written, and need not be."""
    model, (x, y) = network("mlp"), striped_images(3, 0)
    parameters = np.frombuffer(model.initial(0).tobytes(), np.float32)
    rows = np.frombuffer(x.tobytes(), np.uint8).reshape(x.shape)

    assert np.isfinite(model.loss_and_gradient(parameters, rows, y).loss)


def test_the_documented_layers_are_the_actual_ones():
    """The tables in the module's docstring give every layer's parameters and their total."""
    tables = re.split(r"\n    (mlp|mobilenet|resnet)\b.* parameters\n", neural.__doc__)[1:]
    documented = {}
    for name, table in zip(tables[::2], tables[1::2], strict=True):
        rows = table.split("\n\n")[0].splitlines()
        *layers, total = (int(row.split()[-1].replace(",", "")) for row in rows if "mean" not in row)
        documented[name] = (layers, total)

    actual = {}
    for name in NAMES:
        model = make_model(name, n_features=IMAGE_FEATURES, n_classes=10, hidden_units=64)
        counts = [sum(math.prod(part.shape) for part in layer.parts()) for layer in model.layers]
        actual[name] = ([count for count in counts if count], model.initial(0).size)
    assert documented == actual


def test_three_blocks_a_stage_are_the_resnet_20_of_the_paper():
    """He et al. 2016, table 6: twenty layers with weights, 0.27 million parameters."""
    parts = resnet(IMAGE_FEATURES, 10, blocks=3).parts()

    assert 20 == sum(part.kind == "weight" for part in parts)
    assert 0.27 == round(sum(math.prod(part.shape) for part in parts) / 1e6, 2)


@pytest.mark.parametrize("name", ["mobilenet", "resnet"])
def test_rows_that_are_no_images_are_refused(name):
    """A convolutional network names the features it needs, and those it got."""
    with pytest.raises(InputError, match=f"model={name} needs n_features=3072 .*; got 28"):
        make_model(name, n_features=28, n_classes=2, hidden_units=1)


def test_class_weights_are_torchs():
    """Loss and gradient are those of torch's weighted cross-entropy, in pieces too."""
    random = np.random.default_rng(0)
    model = replace(mlp(4, 3, hidden_units=5).weighted([1.0, 2.0, 0.5]), rows_at_once=7)
    network = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    x, y = random.normal(size=(20, 4)).astype(np.float32), random.integers(0, 3, 20)
    parameters = model.initial(0)
    torch.nn.utils.vector_to_parameters(torch.tensor(parameters), network.parameters())
    weights = torch.tensor([1.0, 2.0, 0.5])
    functional.cross_entropy(network(torch.tensor(x)), torch.tensor(y), weights, reduction="sum").backward()
    expected = torch.cat([array.grad.flatten() for array in network.parameters()]).numpy()

    loss, gradient, samples = model.loss_and_gradient(parameters, x, y)

    assert 20 == samples
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(model.evaluate(parameters, x, y).loss, rel=1e-5)
