"""Our own coordinator and worker, killed and repeated at each of their calls to AWS: the result is the same."""

import json
import subprocess
import sys

import pytest

from tests.support.documents import ROOT

WITHIN_S = 1_500
PREPARED = {"linear_ec_1": "coordinator.py", "linear_ec_2": "one_worker.py"}


@pytest.mark.slow
@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize("function", PREPARED)
def test_no_schedule_changes_what_a_training_leaves(function: str, mode: str):
    """The model's bits, the result, the job; each case takes a lease of its own, so that this takes minutes."""
    if mode != "process":
        pytest.skip("explorations have a stack of their own, of processes")
    prepare = ROOT / "fixtures" / "explore" / PREPARED[function]
    command = [sys.executable, "-m", "harness", "explore", function, "--prepare", str(prepare), "--json"]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=WITHIN_S)

    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert found["findings"] == []
    assert run.returncode == 0
    assert found["cases"] > 6 * sum(call["delivery"] == 1 for call in found["calls"])
