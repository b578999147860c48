"""Legal cells of the training matrix on the real stack: a sample on every change, all of them every night."""

import pytest

from benchmarks.cells import small_job
from tests.support.running import run_job
from training.matrix import Cell, cells
from training.model.catalogue import MODELS, task_of

LEGAL = list(cells())


def pairs(cell: Cell) -> set[tuple[str, str]]:
    """Return what a sample has to show of a cell: its model with its data and optimiser, and how that synchronises."""
    with_data, with_optim = (cell.model, cell.data_type), (cell.model, cell.optim)
    if task_of(MODELS[cell.model].loss) == "regression":  # the classifiers show the optimisers of linear models
        return {with_data, (cell.optim, cell.sync_mode)}
    return {with_data, with_optim, (cell.optim, cell.sync_mode)}


def sample() -> set[Cell]:
    """Return few cells that have all pairs between them."""
    missing, chosen = set().union(*map(pairs, LEGAL)), set()
    while missing:
        best = max(LEGAL, key=lambda cell: len(missing & pairs(cell)))
        chosen.add(best)
        missing -= pairs(best)
    return chosen


SAMPLE = sample()


def marked(cell: Cell):
    """Return a cell as a parameter, with its marks."""
    marks = [pytest.mark.torch] if MODELS[cell.model].needs_pytorch else []
    return pytest.param(cell, marks=marks if cell in SAMPLE else [*marks, pytest.mark.slow], id=" ".join(cell))


@pytest.mark.parametrize("cell", [marked(cell) for cell in LEGAL])
def test_a_legal_cell_runs_end_to_end(stack, settings, cell):
    """The run succeeds; its loss is finite and its model is there."""
    data, event = small_job(cell)

    summary = run_job(stack, settings, data=data, **event)

    assert "succeeded" == summary.status
    assert 0 <= summary.loss < 1e6
    assert cell.data_type == (summary.job["dataset_type"] or MODELS[cell.model].data_types[0])
    assert (summary.accuracy is None) == (task_of(MODELS[cell.model].loss) != "classification")
