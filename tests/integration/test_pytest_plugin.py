"""The pytest plug-in in a user's project: reports, marks, xdist, and what is left when pytest is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.system.probes import wait_until

TESTS = """
import pytest


def greet(event, context):
    print("greeting", event)
    return event["name"]


def test_good(lambda_stack):
    assert "Ada" == lambda_stack.deploy(greet).invoke({"name": "Ada"}).payload


def test_bad(lambda_stack):
    assert "Ada" == lambda_stack.deploy(greet).invoke({"name": "Bob"}).payload


def test_without_a_stack():
    assert False


@pytest.fixture(scope="module")
def too_wide(lambda_stack):
    return lambda_stack.deploy(greet)


def test_too_wide(too_wide):
    pass


@pytest.fixture(scope="class")
def wide(lambda_stack):
    return lambda_stack.deploy(greet)


@pytest.mark.lambda_reset("class")
class TestKept:
    def test_one(self, wide):
        assert "Eve" == wide.invoke({"name": "Eve"}).payload

    def test_two(self, wide, lambda_logs):
        assert ["greeting {'name': 'Eve'}"] == lambda_logs.messages


def test_gone(lambda_stack):
    assert [] == lambda_stack.client("lambda").list_functions()["Functions"]
"""

KILLED = """
import os, pathlib, time


def sleep(event, context):
    time.sleep(600)


def test_it(lambda_stack):
    lambda_stack.deploy(sleep, timeout_s=900).invoke(asynchronous=True)
    lambda_stack.events.wait_for("running")
    pathlib.Path("ready").touch()
    time.sleep(600)
"""


def command(*options: str) -> list[str]:
    """pytest, with warnings as errors: nothing of the plug-in's may be left open."""
    return [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *options]


def write_project(folder: Path, tests: str) -> Path:
    """A project with one file of tests."""
    (folder / "harness.toml").write_text("")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(tests)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """What pytest prints for the tests above."""
    project = write_project(tmp_path_factory.mktemp("project"), TESTS)
    done = subprocess.run(command("-rA"), cwd=project, capture_output=True, text=True, check=False)
    assert [] == list((project / ".harness" / "stacks").iterdir())
    return done.stdout + done.stderr


def outcome(report: str, test: str) -> str:
    """The line of the summary about a test."""
    return next(line for line in report.splitlines() if line.split(" ")[0].isupper() and f"::{test}" in line)


@pytest.mark.parametrize("test", ["test_good", "TestKept::test_one", "TestKept::test_two", "test_gone"])
def test_passes(report, test):
    """The stack is reset after a test, or after a class that is marked so."""
    assert outcome(report, test).startswith("PASSED")


def test_a_failed_test_shows_the_functions_log(report):
    """One that did not use the stack shows none."""
    assert outcome(report, "test_bad").startswith("FAILED")
    _, bad, rest = report.partition("_ test_bad _")
    shown, _, without = rest.partition("_ test_without_a_stack _")
    assert bad
    assert "Captured Lambda log call" in shown
    assert "greet: greeting {'name': 'Bob'}" in shown
    assert "Captured Lambda log" not in without.partition("_ ERROR")[0].partition("= PASSES =")[0]


def test_a_fixture_whose_function_would_be_erased_is_refused(report):
    """The message says which mark keeps it."""
    assert outcome(report, "test_too_wide").startswith("ERROR")
    assert "the fixture too_wide of scope 'module' uses the stack, which is reset after each function" in report
    assert "the mark lambda_reset('module')" in report


def test_a_broken_project_is_reported_once(tmp_path):
    """One error for the test, without the exception that it was made of."""
    write_project(tmp_path, "def test_it(lambda_stack):\n    pass\n")
    (tmp_path / "harness.toml").write_text("x = [")

    said = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    assert "harness.toml is not TOML" in said
    assert "During handling" not in said


def test_each_worker_of_xdist_has_a_stack(tmp_path):
    """Two workers run the same names at once."""
    write_project(tmp_path, TESTS.partition("def test_bad")[0])
    (tmp_path / "test_again.py").write_text((tmp_path / "test_it.py").read_text())

    done = subprocess.run(
        command("-n", "2", "--dist", "loadfile"), cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_killed_pytest_leaves_nothing(tmp_path, workers):
    """Neither a process nor a folder is left after SIGKILL, with a function in the middle of its work."""
    write_project(tmp_path, KILLED)
    with subprocess.Popen(
        command("-n", workers), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            assert wait_until((tmp_path / "ready").exists, 60)
            started = psutil.Process(run.pid).children(recursive=True)
        finally:
            run.send_signal(signal.SIGKILL)

    assert len(started) > 4
    folder = tmp_path / ".harness" / "stacks"
    assert wait_until(lambda: not any(map(runs, started)), 30)
    assert wait_until(lambda: not any(folder.iterdir()), 30)


def runs(process: psutil.Process) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_run_without_the_fixture_imports_nothing_of_the_harness(tmp_path):
    """Only the entry point is imported: neither boto3 nor anything else."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    assert {'harness', 'harness.pytest_plugin', 'harness.pytest_plugin.plugin'} == "
        "{name for name in sys.modules if name.split('.')[0] in ('harness', 'boto3', 'moto', 'msgspec')}\n"
    )

    done = subprocess.run(
        command(), cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""}
    )

    assert 0 == done.returncode, done.stdout
