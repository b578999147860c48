"""Rows on which a user's own model is checked, and trials of a study: read as `harness run` reads them."""

import numpy as np
import pytest

from harness.models.rows import sample_rows
from harness.settings import load_settings
from harness.tune.records import StudyPlan
from harness.tune.resolution import check_plan
from training.errors import InputError

TABLE = "a,b,kind\n" + "".join(f"{row % 7},{row % 5},{'yes' if row % 3 else 'no'}\n" for row in range(60)) + ",1,no\n"


@pytest.fixture
def table(tmp_path):
    """A CSV file with a missing value."""
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return str(path)


def test_a_missing_value_is_that_of_a_run(table):
    """The mean of its column, unless the user says what becomes of it."""
    sample = sample_rows(table, 61, regression=False, missing_is_ours=True)

    assert (61, 2) == sample.x.shape
    assert np.isfinite(sample.x).all()
    with pytest.raises(InputError, match="missing values: `a` 1"):
        sample_rows(table, 61, regression=False)


@pytest.mark.parametrize(("ours", "missing"), [(True, "mean"), (False, "refuse")])
def test_trials_have_the_missing_values_of_a_run(table, tmp_path, ours, missing):
    """So that the best job trains the same model again."""
    plan = StudyPlan(folder=str(tmp_path), data=table, event={}, space={}, metric="loss", seed=0, missing_is_ours=ours)
    common, _ = check_plan(plan, 1, load_settings(tmp_path))

    assert missing == common.data.options.missing
