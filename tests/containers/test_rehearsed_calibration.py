"""A calibration of a rehearsed deployment, in containers: hidden figures, a prediction, and nothing that is left."""

import json
import signal
import subprocess
from functools import partial

import pytest

from harness.deploy.calibration_function import CALIBRATION_FUNCTION
from harness.deploy.rehearsal import standing_rehearsal
from harness.presets.preset import load_preset
from harness.settings import load_settings
from tests.conftest import HARNESS
from tests.support.rehearsals import make_project, run_harness, stop_project

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("rehearsal")]

# Slow enough for containers on two busy cores.
HIDDEN = """
name = "hidden"
base = "aws-2026"

[figures.store_latency]
unit = "ms"
p50 = 40.0
p99 = 55.0
source = "this test"

[figures.function_burst]
unit = "MB"
value = 40.0
source = "this test"

[figures.function_burst_bandwidth]
unit = "MB/s"
value = 30.0
source = "this test"

[figures.function_bandwidth]
unit = "MB/s"
value = 8.0
source = "this test"
"""


@pytest.fixture(scope="module")
def project(engine, tmp_path_factory):
    """A project whose deployment can be rehearsed."""
    root = make_project(engine, tmp_path_factory.mktemp("project"))
    (root / "hidden.toml").write_text(HIDDEN, encoding="utf-8")
    yield root
    stop_project(root)


@pytest.fixture(scope="module")
def harness(project):
    """Runs the console script in the project."""
    return partial(run_harness, project)


@pytest.fixture(scope="module")
def deployed(harness):
    """A deployment on a network that emulates the hidden figures."""
    harness("deploy", "--rehearse", "--yes", "--network", "hidden.toml")
    yield
    harness("destroy", "--rehearse", "--yes", "--empty")


def left_of_a_calibration(project):
    """Its function, its objects and its log group, as far as they are there."""
    target = standing_rehearsal(load_settings(project))
    functions = [each["FunctionName"] for each in target.client("lambda").list_functions()["Functions"]]
    s3 = target.client("s3")
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    objects = s3.list_objects_v2(Bucket=bucket, Prefix="runs/calibrate-").get("Contents", [])
    group = f"/aws/lambda/{CALIBRATION_FUNCTION}"
    groups = target.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return [*[name for name in functions if name == CALIBRATION_FUNCTION], *objects, *groups]


def test_nothing_is_calibrated_without_a_deployment(harness):
    """The command says what to run first."""
    assert "harness deploy --rehearse" in harness("calibrate", "--target", "rehearsal", code=1).stderr


@pytest.mark.usefixtures("deployed")
def test_hidden_figures_are_found_and_a_run_is_predicted_with_them(harness, project):
    """The worker's image, with its role, measures; the preset serves forecasts, and what it predicted is told."""
    told = json.loads(
        harness("calibrate", "--target", "rehearsal", "--n-starts", "3", "--save", "mine.toml", "--json").stdout
    )
    truth, found = load_preset(str(project / "hidden.toml")), load_preset(str(project / "mine.toml"))

    for name in ("store_latency", "function_burst_bandwidth", "function_bandwidth", "function_burst"):
        # Nearer than the base preset by far; how near is measured on an idle machine, by tests/integration.
        assert 0.5 < found.typical(name) / truth.typical(name) < 2, told["figures"][name]
    assert "harness calibrate" in found.figures["store_latency"].source
    assert "cold_start_image" in told["figures"]
    assert [] == left_of_a_calibration(project)

    summary = json.loads(harness("run", "--target", "rehearsal", "--n-workers", "2", "--json").stdout)
    predicted = json.loads(harness("calibrate", "--target", "rehearsal", "--against", "last", "--json").stdout)
    assert summary["run_id"] == predicted["run_id"]
    assert summary["seconds"]["total"] == predicted["parts"][3]["measured"]
    forecast = harness("forecast", "last", "--preset", "mine.toml", "--workers", "2,4").stdout
    assert "total s" in forecast


@pytest.mark.usefixtures("deployed")
def test_an_interrupted_calibration_leaves_nothing(project):
    """Ctrl-C in the middle of the starts: function, objects and log are gone when the command has ended."""
    command = [HARNESS, "calibrate", "--target", "rehearsal", "--n-starts", "3"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "one by one (2 of" in line:
                process.send_signal(signal.SIGINT)
                break
        told = process.stderr.read()

    assert 128 + signal.SIGINT == process.returncode, told
    assert [] == left_of_a_calibration(project)


@pytest.mark.usefixtures("deployed")
def test_what_a_killed_calibration_left_is_told_and_removed(harness, project):
    """The next one refuses to disturb it; --clean-up removes it, and so would `harness destroy`."""
    command = [HARNESS, "calibrate", "--target", "rehearsal", "--n-starts", "3"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "one by one (2 of" in line:
                process.kill()
                break

    assert "--clean-up" in harness("calibrate", "--target", "rehearsal", code=1).stderr
    assert CALIBRATION_FUNCTION in harness("destroy", "--rehearse", "--dry-run", "--json").stdout
    harness("calibrate", "--target", "rehearsal", "--clean-up")
    assert [] == left_of_a_calibration(project)


@pytest.mark.usefixtures("deployed")
def test_the_network_of_a_rehearsal_that_is_up_is_not_changed(harness):
    """Another one needs another emulation."""
    refused = harness("deploy", "--rehearse", "--yes", "--network", "aws", code=1).stderr

    assert "another network (hidden)" in refused
