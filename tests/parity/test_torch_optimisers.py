"""Optimisers, schedules, clipping and decay take the steps of torch.optim, on gradients of a real loss."""

import numpy as np
import pytest
import torch

from tests.support.training_alone import dealt, train_together
from training.algorithm.epochs import Penalty
from training.algorithm.schedules import RateSchedule
from training.algorithm.steps import Steps, clipped
from training.job import Job

pytestmark = pytest.mark.torch

FEATURES, STEPS = 6, 40
EVENT = {"data_bucket": "bucket", "n_features": FEATURES, "n_workers": 1, "host": "h"}


class EveryParameter:
    """A model that penalises all its parameters, as torch.optim does."""

    def penalised(self):
        """One for each."""
        return np.ones(FEATURES + 1, np.float32)


def job_of(**keys):
    """A job with these keys."""
    return Job(**EVENT, **keys)


def gradients(count=STEPS):
    """The gradients of a run are those of other parameters each time; here they are given, large and small."""
    random = np.random.default_rng(3)
    sizes = 10.0 ** random.integers(-3, 2, size=(count, 1))
    return (sizes * random.normal(size=(count, FEATURES + 1))).astype(np.float32)


OPTIMISERS = {
    "sgd": ({}, lambda x: torch.optim.SGD(x, lr=0.1)),
    "sgd with momentum": ({"momentum": 0.9}, lambda x: torch.optim.SGD(x, lr=0.1, momentum=0.9)),
    "sgd with decay": ({"weight_decay": 0.02}, lambda x: torch.optim.SGD(x, lr=0.1, weight_decay=0.02)),
    "nesterov": (
        {"optimiser": "nesterov", "momentum": 0.8},
        lambda x: torch.optim.SGD(x, lr=0.1, momentum=0.8, nesterov=True),
    ),
    "nesterov with decay": (
        {"optimiser": "nesterov", "momentum": 0.8, "weight_decay": 0.02},
        lambda x: torch.optim.SGD(x, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02),
    ),
    "adam": ({"optimiser": "adam"}, lambda x: torch.optim.Adam(x, lr=0.1)),
    "adam with other constants": (
        {"optimiser": "adam", "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-3},
        lambda x: torch.optim.Adam(x, lr=0.1, betas=(0.7, 0.95), eps=1e-3),
    ),
    "adam with decay": (
        {"optimiser": "adam", "weight_decay": 0.02},
        lambda x: torch.optim.Adam(x, lr=0.1, weight_decay=0.02),
    ),
    "adamw": ({"optimiser": "adamw", "weight_decay": 0.02}, lambda x: torch.optim.AdamW(x, lr=0.1, weight_decay=0.02)),
}


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_step_is_torchs(name, clip_norm):
    """After each of many steps the parameters are torch's, with clipped gradients and without."""
    keys, make = OPTIMISERS[name]
    steps = Steps(job_of(lr=0.1, clip_norm=clip_norm, **keys), EveryParameter(), Penalty(np.zeros(7), l1=False), STEPS)
    parameters = np.linspace(-1, 1, FEATURES + 1, dtype=np.float32)
    slots = steps.start(parameters)
    variable = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
    reference = make([variable])

    for number, gradient in enumerate(gradients(), 1):
        variable.grad = torch.tensor(gradient, dtype=torch.float64)
        if clip_norm:
            torch.nn.utils.clip_grad_norm_([variable], clip_norm)
        reference.step()
        parameters, slots = steps.take(parameters, slots, gradient, number, number)

        assert np.float32 == parameters.dtype
        np.testing.assert_allclose(parameters, variable.detach().numpy(), rtol=2e-5, atol=2e-5)


def warmed_up(optimiser, warm_up, after):
    """A schedule behind a linear warm-up, in torch's words."""
    if not warm_up:
        return after
    rise = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=1 / warm_up, total_iters=warm_up - 1)
    return torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, after], milestones=[warm_up])


@pytest.mark.parametrize("warmup", [0.0, 0.2])
@pytest.mark.parametrize("name", ["constant", "step", "cosine", "inverse_sqrt"])
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")
def test_every_learning_rate_is_torchs(name, warmup):
    """Ten epochs of five steps; torch's scheduler takes a step with each batch."""
    per_epoch, epochs, lr = 5, 10, 0.3
    total, warm_up = per_epoch * epochs, round(warmup * per_epoch * epochs)
    keys = {"step": {"lr_step_epochs": 4, "lr_decay": 0.5}, "cosine": {"lr_min": 0.01}}.get(name, {})
    schedule = RateSchedule(job_of(lr=lr, n_epochs=epochs, lr_schedule=name, warmup=warmup, **keys), per_epoch)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = torch.optim.lr_scheduler
    makers = {
        "constant": lambda: scheduler.LambdaLR(optimiser, lambda _: 1.0),
        "step": lambda: scheduler.MultiStepLR(optimiser, [20 - warm_up, 40 - warm_up], gamma=0.5),
        "cosine": lambda: scheduler.CosineAnnealingLR(optimiser, total - warm_up, eta_min=0.01),
        "inverse_sqrt": lambda: scheduler.LambdaLR(
            optimiser, lambda done: (max(warm_up, 1) / (done + warm_up + 1)) ** 0.5
        ),
    }
    reference = warmed_up(optimiser, warm_up, makers[name]())

    for step in range(1, total + 1):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(schedule.rate(step), rel=1e-9, abs=1e-9)
        optimiser.step()
        reference.step()


def test_clipping_is_torchs():
    """The norm is that of the whole gradient, and one that is small enough is left alone."""
    (gradient,) = gradients(1)
    norm = float(np.linalg.norm(gradient.astype(np.float64)))
    variable = torch.zeros(FEATURES + 1, requires_grad=True)
    variable.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_([variable], norm / 3)

    np.testing.assert_allclose(clipped(gradient, norm / 3), variable.grad.numpy(), rtol=1e-5)
    assert gradient is clipped(gradient, norm * 1.001)


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("name", ["sgd with momentum", "nesterov", "adam", "adamw"])
def test_a_training_on_several_ranks_is_torchs_on_all_rows(name, world_size):
    """Logistic regression by whole batches: the parameters of torch's loop, biases without decay."""
    keys, make = OPTIMISERS[name]
    random = np.random.default_rng(1)
    x = random.normal(size=(301, FEATURES)).astype(np.float32)
    y = (x[:, 0] + random.normal(size=301) > 0).astype(np.int64)
    weight = torch.zeros(FEATURES, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    reference = make([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}])

    for _ in range(30):
        reference.zero_grad()
        margins = torch.tensor(x, dtype=torch.float64) @ weight + bias
        torch.nn.functional.binary_cross_entropy_with_logits(margins, torch.tensor(y).double()).backward()
        reference.step()
    outcome = train_together(dealt(x, y, world_size), n_epochs=30, batch_size=1000, lr=0.1, **keys)[0]

    expected = np.append(weight.detach().numpy(), bias.detach().numpy())
    np.testing.assert_allclose(outcome.parameters, expected, rtol=1e-4, atol=1e-5)
