"""The imports of a cold start, which every first invocation pays for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAMBDAS = Path(__file__).parents[2] / "lambdas"


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("linear_ec_1", {"numpy", "scipy", "torch"}),
        ("linear_ec_2", {"scipy", "torch"}),
        ("training.model.catalogue", {"numpy", "scipy", "torch"}),
        ("training.model.linear", {"scipy", "torch"}),
    ],
)
def test_a_cold_start_imports_only_what_every_job_needs(module, missing):
    """The coordinator has no NumPy, and only jobs with sparse rows or neural networks pay for scipy or torch."""
    code = f"import sys, {module}; print(*sorted({missing!r} & set(sys.modules)))"
    paths = os.pathsep.join(str(folder) for folder in (LAMBDAS / "worker", LAMBDAS / "coordinator", LAMBDAS))
    variables = {"PYTHONPATH": paths, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}

    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
    )

    assert 0 == result.returncode, result.stderr
    assert result.stdout.split() == []
