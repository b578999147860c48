"""`harness run` with faults, as a user types it."""

import json
import re
import subprocess
from pathlib import Path

import click
import pytest

from harness.cli.main import cli
from harness.errors import HarnessError
from tests.conftest import HARNESS
from tests.support.running import run_job
from training.errors import TrainingError

ROOT = Path(__file__).parents[2]
DATA = "synthetic:rows=2000,features=5"
JOB = ["--s3", "moto", "--data", DATA, "--n-workers", "3", "--batch-size", "50", "--n-epochs", "2"]


def harness_run(*arguments):
    """Runs the command."""
    return subprocess.run(
        [HARNESS, "run", *JOB, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )


def summary_of(*arguments):
    """The summary of a run that succeeds."""
    result = harness_run("--json", *arguments)
    assert 0 == result.returncode, result.stderr
    return json.loads(result.stdout)


@pytest.mark.timeout(120)
def test_a_killed_rank_costs_an_attempt_and_nothing_else(faulty_stack, fault_settings):
    """The model is the undisturbed run's; the summary tells the strike, its place, its time and its cost."""
    undisturbed = run_job(faulty_stack, fault_settings, data=DATA, n_workers=3, batch_size=50, n_epochs=2)

    summary = summary_of("--fault", "kill rank=1 round=10", "--fault", "evict round=9999", "--retry-time-scale", "0.01")

    assert "succeeded" == summary["status"]
    assert [1, 2, 1] == [worker["attempts"] for worker in summary["workers"]]
    assert undisturbed.model["sha256"] == summary["model"]["sha256"]
    kill, evict = [event for event in summary["events"] if event["event"] == "fault"]
    assert ("kill rank=1 round=10", 1, 1, 10, 1) == tuple(
        kill[key] for key in ("fault", "times", "rank", "round", "attempt")
    )
    assert 0.5 < kill["cost_s"] < summary["seconds"]["total"]  # Lambda tries again after 0.6 s
    assert 0 < summary["seconds"]["start"] < kill["at_s"] < summary["seconds"]["total"]
    assert f"did not strike: the run had {summary['rounds']} rounds" == evict["note"]
    assert any(event["event"] == "rejoined" and event["rank"] == 1 for event in summary["events"])
    assert [] == undisturbed.events
    # The run is kept, and its stack is gone.
    why = subprocess.run(
        [HARNESS, "why", summary["run_id"]], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert re.search(r"^wait .* rank 1 \d", why.stdout, re.MULTILINE), why.stdout


@pytest.mark.timeout(120)
def test_a_frozen_rank_is_named_and_costs_what_the_others_waited(faulty_stack, fault_settings):
    """The summary names the straggler; the freeze costs about its own length, whatever the rounds take."""
    frozen_s = 1.0  # after more than 1.2 s, peers would revive it

    summary = run_job(
        faulty_stack,
        fault_settings,
        data=DATA,
        faults=[f"freeze rank=1 round=10 s={frozen_s}"],
        n_workers=3,
        batch_size=50,
        n_epochs=2,
    )

    assert summary.straggler is not None
    assert summary.straggler.rank == 1
    assert summary.straggler.waited_s > 0.5 * frozen_s
    blamed_s = [worker.blamed_s for worker in summary.workers]
    assert max(blamed_s) == blamed_s[1]
    assert min(worker.wait_s for worker in summary.workers if worker.rank != 1) > 0.5 * frozen_s
    (freeze,) = [event for event in summary.events if event["event"] == "fault"]
    assert 0.5 * frozen_s < freeze["cost_s"] < summary.seconds.train


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_chaos_changes_nothing(seed):
    """Whatever a seed draws, the model is the undisturbed run's."""
    undisturbed = summary_of()

    summary = summary_of("--chaos", f"seed={seed} rate=0.1", "--retry-time-scale", "0.01")

    assert undisturbed["model"]["sha256"] == summary["model"]["sha256"]
    assert any(event["event"] == "fault" for event in summary["events"])


def test_the_short_summary_names_the_faults(tmp_path):
    """A plan from a file strikes; the text says where, when and at what cost."""
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\naction = "delay"\nrank = 2\nround = 7\nms = 50\n')

    result = harness_run("--faults", str(plan))

    assert 0 == result.returncode, result.stderr
    assert "delay rank=2 round=7 ms=50.0; at rank 2, round 7, step 0, attempt 1; after " in result.stdout
    assert re.search(r"round 7, step 0, attempt 1; after .*cost \d+\.\d+", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "kill rank=3"], "rank is 3\nin fault `kill rank=3`\nallowed: 0 to n_workers - 1 = 2"),
        (["--fault", "kill rank=0 attempt=0"], "attempt is 0\n"),
        (["--fault", "explode"], "action is 'explode'\n"),
        (["--faults", "no-such-plan.toml"], "the fault plan cannot be read"),
        (["--chaos", "seed=1"], "chaos: "),
        (["--optim", "admm", "--n-admm-epochs", "5", "--fault", "evict round=6"], "0 to 5, the rounds of this job"),
    ],
)
def test_a_wrong_plan_is_refused(arguments, message):
    """The field, the value and what would be right are told, and nothing is trained."""
    with pytest.raises((HarnessError, TrainingError, click.ClickException)) as caught:
        cli.main(["run", *JOB, *arguments], prog_name="harness", standalone_mode=False)

    told = caught.value.format_message() if isinstance(caught.value, click.ClickException) else str(caught.value)
    assert message in f"{told}\n"


def test_a_refusal_is_an_exit_code_and_three_lines():
    """As a user sees it."""
    result = harness_run("--fault", "kill rank=3")

    assert 1 == result.returncode
    assert "rank is 3\n  in fault `kill rank=3`\n  allowed: 0 to n_workers - 1 = 2" in result.stderr
    assert "Traceback" not in result.stderr
