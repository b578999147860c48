"""Runs without any flag but `--data`, beside scikit-learn or torch on the same rows."""

import pytest

from benchmarks.accuracy import CASES, compare
from benchmarks.stage import stage


@pytest.fixture(scope="module")
def own():
    """A stack for all runs."""
    with stage(s3="moto") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.torch) if case == "images/" else case for case in CASES]
)
def test_a_run_without_flags_reaches_the_reference(own, case, tmp_path):
    """Its loss is at most 2 % above, and the summary lists what was chosen."""
    found = compare(own, case, tmp_path)

    assert found.within, f"{found.above:+.1%} above {found.reference}"
    assert {"model", "n_epochs", "batch_size"} <= found.run.summary["defaults"].keys()
