"""A rank that dies while it trains a user's own model: the run has the bits of an undisturbed one."""

import pytest

from tests.support.own_models import net_file, softmax_file
from tests.support.running import run_job

JOB = {"data": "synthetic:rows=3000,features=5", "n_workers": 3, "batch_size": 100, "lr": 0.1, "n_epochs": 4}
KILLED = ("kill rank=1 round=12",)


def test_a_killed_rank_comes_back_with_the_same_model(faulty_stack, fault_settings, tmp_path):
    """Bit for bit, with momentum."""
    job = JOB | {"model": f"{softmax_file(tmp_path)}:Softmax", "momentum": 0.9}

    undisturbed = run_job(faulty_stack, fault_settings, **job)
    disturbed = run_job(faulty_stack, fault_settings, faults=KILLED, **job)

    assert [1, 2, 1] == [worker.attempts for worker in disturbed.workers]
    assert undisturbed.model["sha256"] == disturbed.model["sha256"]


@pytest.mark.slow
@pytest.mark.torch
def test_a_killed_rank_of_a_network_comes_back_with_the_same_model(faulty_stack, fault_settings, tmp_path):
    """Its buffers, and the state of Adam, included."""
    job = JOB | {"model": f"{net_file(tmp_path)}:Net", "optimiser": "adam", "lr": 0.01}

    undisturbed = run_job(faulty_stack, fault_settings, **job)
    disturbed = run_job(faulty_stack, fault_settings, faults=KILLED, **job)

    assert 2 == disturbed.workers[1].attempts
    assert undisturbed.model["sha256"] == disturbed.model["sha256"]
