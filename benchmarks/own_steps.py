"""Compare steps of a user's own PyTorch module with a loop of plain PyTorch over the same batches, in one process.

Both compute the loss and its gradient and take a step of gradient descent; ours lies between the exchange's vectors,
which are copied into the module and out of it.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks.figure import Figure, Goal
from benchmarks.turns import in_turns, scaled
from harness.stack.pytorch import ensure_pytorch
from training.model.base import Model, gradient_of, sections_of
from training.model.catalogue import make_model

REPETITIONS = 15
FEATURES, CLASSES, STEPS = 28, 2, 100
RATE = np.float32(0.1)
# The module of docs/your-model.md, without what depends on the batch's rank.
SOURCE = """
from torch import nn


class Net(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, n_classes))

    def forward(self, x):
        return self.body(x)
"""


def own_steps() -> Iterator[Figure]:
    """Measure steps of small and of large batches."""
    ensure_pytorch(partial(click.echo, err=True))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "own_steps_net.py").write_text(SOURCE, encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            model = make_model("own_steps_net:Net", n_features=FEATURES, n_classes=CLASSES)
        finally:
            sys.path.remove(folder)
        import torch  # noqa: PLC0415 - installed on demand

        torch.set_num_threads(1)
        for batch in (32, 1000):
            floor_s, ours_s = in_turns(REPETITIONS, _plain(batch), _ours(model, batch))
            yield Figure(
                name=f"step of an own PyTorch module, batch {batch:,}",
                unit="us",
                floor_name="a loop of plain PyTorch",
                floor=scaled(floor_s, 1e6 / STEPS),
                ours=scaled(ours_s, 1e6 / STEPS),
                goal=Goal(1.1),
            )


def _rows(batch: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(batch, FEATURES)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def _ours(model: Model, batch: int) -> Callable[[], None]:
    x, y = _rows(batch)
    start = model.initial(0)
    trained = sections_of(model, start).trained

    def steps() -> None:
        parameters = start
        for number in range(STEPS):
            _, gradient, rows = gradient_of(model, parameters, x, y, number + 1, 0)
            gradient /= np.float32(rows)
            gradient[:trained] *= -RATE
            parameters = parameters + gradient

    return steps


def _plain(batch: int) -> Callable[[], None]:
    import torch  # noqa: PLC0415 - installed on demand

    net = sys.modules["own_steps_net"].Net(FEATURES, CLASSES)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    rows, classes = _rows(batch)
    x, y = torch.tensor(rows), torch.tensor(classes)

    def steps() -> None:
        for _ in range(STEPS):
            loss = torch.nn.functional.cross_entropy(net(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()

    return steps
