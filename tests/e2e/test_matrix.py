"""Every legal cell of the training matrix on the real stack."""

import pytest

from fixtures.cells import small_job
from tests.support.running import run_job
from training.matrix import cells
from training.model.catalogue import MODELS


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, marks=[pytest.mark.torch] if MODELS[cell.model].needs_pytorch else [], id=" ".join(cell))
        for cell in cells()
    ],
)
def test_a_legal_cell_runs_end_to_end(stack, settings, cell):
    """The run succeeds; its loss is finite and its model is there."""
    data, event = small_job(cell)

    summary = run_job(stack, settings, data=data, **event)

    assert "succeeded" == summary.status
    assert 0 <= summary.loss < 1e6
    assert cell.data_type == (summary.job["dataset_type"] or MODELS[cell.model].data_types[0])
    assert (summary.accuracy is None) == (cell.optim == "em")
