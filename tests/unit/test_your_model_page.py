"""docs/your-model.md: the module that it shows is trained, and what it lists is what there is."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.networks import one_thread
from tests.support.training_alone import dealt, train_together
from training.model.own import FACTS
from training.model.own_loss import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "your-model.md").read_text()

pytestmark = pytest.mark.torch


def test_the_module_on_the_page_is_trained(tmp_path, monkeypatch):
    """Thirty lines at most, trained by three ranks to the same bits."""
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "page_model.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 5)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)

    with one_thread():
        outcomes = train_together(dealt(x, y, 3), model="page_model:Net", lr=0.1, batch_size=16, n_epochs=4)
    sys.modules.pop("page_model", None)

    assert source.count("\n") <= 30
    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert outcomes[0].report.accuracy > 0.8


def test_the_page_lists_facts_and_losses():
    """Every fact that a constructor may take and every loss by name is on the page."""
    assert [name for name in (*FACTS, "job") if f"`{name}`" not in PAGE] == []
    assert [name for name in NAMES if f'`"{name}"`' not in PAGE] == []
