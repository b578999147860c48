"""The check of a user's own model finds what is wrong with it, and where."""

import sys
import textwrap

import msgspec
import pytest

from harness.cli.model import format_report
from harness.models.check import ModelReport
from harness.models.checking import check, made_rows
from tests.support.networks import one_thread
from training.model.own import facts_of

pytestmark = pytest.mark.torch

MODULE = """
    import itertools
    import os
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.body, self.head = nn.Linear(n_features, 8), nn.Linear(8, n_classes)

        def forward(self, x):
            return self.head(torch.tanh(self.body(x)))


    class Normed(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.body = nn.Sequential(self.body, nn.BatchNorm1d(8), nn.Dropout(0.2))


    class Detached(Net):
        def forward(self, x):
            return self.head(torch.tanh(self.body(x)).detach() + 0 * self.body(x))


    class Started(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            nn.init.constant_(self.head.bias, int.from_bytes(os.urandom(2), "big") / 65536)


    class Infinite(Net):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.squares = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return super().forward(x) + torch.sqrt(self.squares).sum()


    class Counting(Net):
        calls = 0

        def forward(self, x):
            self.calls += self.training
            return super().forward(x) * (1 + self.calls)


    class Centred(Net):
        def forward(self, x):
            return super().forward(x - x.mean(dim=0) * self.training)


    class Empty(nn.Module):
        def forward(self, x):
            return x


    class Wrong:
        def initial(self, seed):
            return [0.1] * 12

        def loss_and_gradient(self, parameters, x, y):
            gradient = 2 * parameters * len(y)
            gradient[7] += 5
            return (parameters**2).sum() * len(y), gradient

        def evaluate(self, parameters, x, y):
            return (parameters**2).sum() * len(y), torch.zeros(len(y), 3).numpy()
"""


@pytest.fixture(autouse=True, scope="module")
def module(tmp_path_factory):
    """The module that a user has written."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "checked.py").write_text(textwrap.dedent(MODULE))
    sys.path.insert(0, str(folder))
    with one_thread():
        yield
    sys.path.remove(str(folder))
    sys.modules.pop("checked", None)


def report_of(name):
    """The report on a model of the module."""
    facts = facts_of({"n_features": 6, "seed": 0}, 3)
    return msgspec.convert(check(f"checked:{name}", facts, *made_rows(facts, 48)), ModelReport)


def test_a_sound_model_passes():
    """Nothing failed, the sizes are those of the module, and a round's part has the loss beside the gradient."""
    report = report_of("Net")

    assert report.ok, report.findings
    assert {"ok"} == {finding.state for finding in report.findings}
    assert 6 * 8 + 8 + 8 * 3 + 3 == report.sizes.trained
    assert 4 * (report.sizes.trained + 1) == report.sizes.round_bytes["grad_avg"]
    assert ["body.weight", "body.bias", "head.weight", "head.bias"] == [array.name for array in report.sizes.arrays]
    assert "83 parameters; 332 bytes in a model file" in format_report(report)


def test_batch_normalisation_and_dropout_are_remarks():
    """Three ranks cannot end where one does: the check says why, and does not fail."""
    report = report_of("Normed")

    notes = [finding.message for finding in report.findings if finding.state == "note"]
    assert report.ok
    assert len(notes) == 1
    assert "dropout or noise is drawn for each rank and batch normalisation looks at the batch of its rank" in notes[0]
    assert 16 == report.sizes.averaged


@pytest.mark.parametrize(
    ("name", "failed", "message"),
    [
        ("Detached", "gradient", "the gradient is not the loss's at body."),
        ("Wrong", "gradient", "the gradient is not the loss's at index 7: it is "),
        ("Started", "start", "(head.bias[0]): each rank would start from its own"),
        ("Counting", "repeats", "a step computed again differs (body.weight[0, 0])"),
        ("Centred", "ranks", "the gradient is no sum over rows"),
        ("Infinite", "model", "the loss is finite and its gradient is not: "),
        ("Empty", "model", "has no parameter with requires_grad: there is nothing to train"),
        ("Absent", "model", "the module checked has no Absent"),
    ],
)
def test_what_is_wrong_is_named(name, failed, message):
    """The finding says what is wrong, and names the parameter and the index."""
    report = report_of(name)

    assert ("ms on these rows" in format_report(report)) == (name not in {"Empty", "Absent", "Infinite"})
    found = {finding.name: finding.message for finding in report.findings if finding.state == "failed"}
    assert not report.ok
    assert message in found[failed]
