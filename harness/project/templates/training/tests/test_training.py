"""The training on this machine: four workers, also when one of them dies."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "harness", "run", "--data", "sklearn:breast_cancer", "--job", "job.json", "--json"]


def train(*options):
    """Train on a stack that lives for one run; return the run's summary."""
    run = subprocess.run([*COMMAND, *options], cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def trained():
    """The summary of an undisturbed run."""
    return train()


def test_the_model_learns(trained):
    """It is right about nine of ten rows that it has not seen."""
    assert trained["validation"]["accuracy"] > 0.9


def test_a_worker_that_dies_costs_time_only(trained):
    """Lambda starts it again, its peers help it back, and the model is the same, bit for bit."""
    disturbed = train("--fault", "kill rank=1 round=10", "--retry-time-scale", "0.01")

    assert disturbed["model"]["sha256"] == trained["model"]["sha256"]
