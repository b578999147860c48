"""Runs outlive their stack: they are shown, listed, used and removed when it is down; one under way is followed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HARNESS = Path(sys.executable).with_name("harness")
WITHIN_S = 60
ROWS = "a,b,label\n" + "".join(f"{row % 7},{row % 3},{int(row % 7 > 3)}\n" for row in range(140))


@pytest.fixture
def up(run_harness, tmp_path):
    """A project on a stack, and its data."""
    (tmp_path / "rows.csv").write_text(ROWS)
    assert 0 == run_harness("up").returncode
    return run_harness


def train(harness, *flags):
    """Trains a model, and returns the summary as it was printed."""
    ran = harness("run", "--data", "rows.csv", "--n-workers", "2", "--n-epochs", "3", "--json", *flags)
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout


def listed(harness, *flags):
    """The listed runs by their id."""
    answer = harness("runs", "--json", *flags)
    assert 0 == answer.returncode, answer.stderr
    return {run["run_id"]: run for run in json.loads(answer.stdout)}


def by_hand(harness, folder, **changes):
    """Invokes the coordinator with the event of a run, and returns the new run's id."""
    event = json.loads((folder / "event.json").read_text())
    (folder / "changed.json").write_text(json.dumps({**event, **changes}))
    answer = harness("invoke", "linear_ec_1", "--event", "changed.json")
    assert 0 == answer.returncode, answer.stderr
    return json.loads(answer.stdout)["body"]["run_id"]


@pytest.mark.timeout(360)
def test_runs_outlive_their_stack(up, tmp_path):
    """Summary, log, model and measurements are there when it is down, also of a run that was invoked by hand."""
    summary = train(up, "--save-event", "event.json")
    first = json.loads(summary)["run_id"]
    second = by_hand(up, tmp_path, lr=0.01)
    followed = up("attach", second, "--json")
    assert 0 == up("down").returncode

    runs = listed(up)
    shown = up("show", first, "--json")
    lines = up("logs", "--run", "last", "--rank", "1", "--filter", "START|REPORT").stdout.splitlines()
    predicted = up("predict", first, "--data", "rows.csv")
    forecast = up("forecast", "last", "--workers", "2,4", "--json")
    chosen = up("forecast", "last", "--workers", "auto", "--deadline", "60s", "--plot", "cost.svg")
    missed = up("forecast", "last", "--workers", "auto", "--deadline", "0.01s")
    exported = up("export", "last", "--to", "torch")
    unknown = up("show", first[:-1] + "x")

    assert {first: "succeeded", second: "succeeded"} == {run_id: run["status"] for run_id, run in runs.items()}
    assert 0.01 == runs[second]["differs"]["lr"]
    assert json.loads(summary) == json.loads(shown.stdout)
    assert second == json.loads(followed.stdout)["run_id"]
    assert ["START", "REPORT"] == [line.split()[2] for line in lines]
    assert "140 rows, accuracy" in predicted.stderr
    assert 2 == len(json.loads(forecast.stdout)["forecast"])
    assert "the cheapest within 60 s: 100% of the samples keep to it" in chosen.stdout
    assert "assumed: functions start as in the run" in chosen.stdout
    assert (tmp_path / "cost.svg").read_text().startswith("<?xml")
    assert 1 == missed.returncode
    assert "no number of workers ends within 0.01 s" in missed.stderr
    assert f"{second}.pt" in exported.stdout
    assert f"did you mean {first}" in unknown.stderr


@pytest.mark.slow
def test_a_run_is_stopped_from_another_terminal(up, tmp_path):
    """Its own command ends with an error, and the run is kept as stopped; until then, who attaches may detach."""
    command = [HARNESS, "run", "--data", "rows.csv", "--n-workers", "2", "--n-epochs", "200000", "--lr", "0.01"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        run_id = next(iter(eventually(lambda: listed(up, "--where", "status=running"))))
        with subprocess.Popen(
            [HARNESS, "attach", run_id], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as attached:
            eventually(lambda: "training" in attached.stderr.readline())
            attached.send_signal(signal.SIGINT)
            _, words = attached.communicate(timeout=WITHIN_S)
        assert f"run {run_id} goes on" in words
        assert {run_id} == set(listed(up, "--where", "status=running"))
        stopped = up("stop", "last")
        _, error = running.communicate(timeout=WITHIN_S)

    assert f"run {run_id} has stopped\n" == stopped.stdout
    assert 1 == running.returncode
    assert "harness stop" in error
    assert "stopped" == listed(up)[run_id]["status"]
    assert "it was stopped by `harness stop`" in up("show", run_id).stdout
    assert "is not under way: it was stopped" in up("stop", run_id).stderr


@pytest.mark.slow
def test_failed_runs_are_kept_and_removed(up):
    """A failed run shows its error; removed runs are not kept again from the stack's S3."""
    good = json.loads(train(up))["run_id"]
    data = "synthetic:rows=1000,features=5"
    failed = up("run", "--data", data, "--model", "linear", "--n-workers", "2", "--lr", "1000")
    assert 1 == failed.returncode, failed.stdout
    (bad,) = listed(up, "--where", "status=failed")

    shown = up("show", bad).stdout
    asked = up("runs", "rm", "--failed")
    removed = up("runs", "rm", "--failed", "--yes")

    (error,) = (line for line in failed.stderr.splitlines() if line.startswith("error: "))
    assert error in shown.splitlines()
    assert "say --yes" in asked.stderr
    assert "removed 1 run\n" == removed.stdout
    assert {good} == set(listed(up))


def eventually(found):
    """Waits until a function returns something, and returns it."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return value
