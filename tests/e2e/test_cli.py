"""The command line as a user meets it: exit codes, short errors, and nothing left behind."""

import json
import lzma
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner

from harness.cli.main import VERBS, cli
from harness.guard import authorization
from harness.system.engine import connect
from harness.system.probes import wait_until

HARNESS = Path(sys.executable).with_name("harness")
# The prompt is back within this time, on a busy machine too; the engine takes a while for each container.
INTERRUPTED_WITHIN_S = {"process": 15.0, "container": 30.0}


@pytest.fixture
def project(tmp_path, settings, mode):
    """A project of its own, so that no stack of the developer's is met; its functions are ours."""
    text = (settings.root / "harness.toml").read_text().replace('mode = "process"', f'mode = "{mode}"')
    for room in ("lambdas", "requirements"):
        text = text.replace(f'"{room}/', f'"{settings.root}/{room}/')
    (tmp_path / "harness.toml").write_text(text)
    (tmp_path / ".venv-localstack").symlink_to(settings.root / ".venv-localstack")
    return tmp_path


def harness(project, *arguments):
    """Runs a command to its end."""
    command = [HARNESS, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=90, check=False)


def test_a_run_from_the_command_line_prints_one_object(project):
    """`harness run --json` starts a stack of its own, prints the summary on standard output, and leaves nothing."""
    run = harness(project, "run", "--s3", "moto", "--data", "synthetic:rows=2000", "--n-workers", "2", "--json")

    assert 0 == run.returncode, run.stderr
    summary = json.loads(run.stdout)
    assert "succeeded" == summary["status"]
    assert summary["epochs"][-1]["loss"] < summary["epochs"][0]["loss"]
    stages = [line for line in run.stderr.splitlines() if re.fullmatch(r"[a-z ]+ \.\.\.", line)]  # no long waits
    assert ["starting the stack ...", "making functions ready ..."] == stages[:2]
    assert "training ..." in stages
    assert [] == stacks_of(project)


def test_a_job_file_is_read_and_flags_win(project):
    """`--job` gives the event, flags override it."""
    (project / "event.json").write_text(json.dumps({"n_workers": 3, "lamda": 0}))
    unknown = harness(project, "run", "--job", "event.json")
    (project / "event.json").write_text(json.dumps({"n_workers": 3, "batch_size": 100}))

    run = harness(
        project, "run", "--job", "event.json", "--n-workers", "2", "--data", "sklearn:wine", "--s3", "moto", "--json"
    )

    assert 1 == unknown.returncode
    assert 0 == run.returncode, run.stderr
    job = json.loads(run.stdout)["job"]
    assert (2, 100, 3) == (job["n_workers"], job["batch_size"], job["n_classes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n-workers", "0"], ["--n-workers is 0", "from 1 to 1000"]),
        (["--n-workers", "2", "--lr", "-1"], ["--lr is -1", "above 0"]),
        (["--n-workers", "2", "--data", "nowhere.xz"], ["nowhere.xz"]),
        (["--n-workers", "2", "--data", "synthetic:rows=many"], ["rows", "many"]),
        (["--n-workers", "2", "--data", "sklearn:iris2"], ["iris2", "breast_cancer"]),
        (["--n-workers", "2", "--job", "nothing.json"], ["nothing.json"]),
    ],
)
def test_a_wrong_run_ends_in_one_short_error_and_starts_nothing(project, arguments, words):
    """Three lines at most, the value and what would be right, exit code 1, no stack."""
    run = harness(project, "run", *arguments)

    assert 1 == run.returncode
    assert len(run.stderr.splitlines()) <= 3
    assert "" == run.stdout
    assert "Traceback" not in run.stderr
    for word in words:
        assert word in run.stderr
    assert not (project / ".harness").exists()


def test_wrong_data_ends_in_one_short_error_and_breaks_no_later_run(project):
    """A file that cannot be read is named with its line, and the next run on the same stack works."""
    wrong = {
        "cut.xz": (lzma.compress(b"1 1:0.5\n" * 10_000)[:-20], "cut.xz"),
        "bad.txt": (b"1 1:0.5\n0 1:0.25\n1 1:oops\n", "line 3"),
        "empty.txt": (b"", "empty.txt"),
    }
    assert 0 == harness(project, "up", "--s3", "moto").returncode
    try:
        for name, (content, words) in wrong.items():
            (project / name).write_bytes(content)
            run = harness(project, "run", "--n-workers", "2", "--data", name)

            assert 1 == run.returncode
            error = run.stderr[run.stderr.index("error: ") :]
            assert len(error.splitlines()) <= 3
            assert name in error
            assert words in error
        assert 0 == harness(project, "run", "--n-workers", "1", "--data", "sklearn:wine").returncode
    finally:
        assert 0 == harness(project, "down").returncode
    assert [] == stacks_of(project)


@pytest.mark.parametrize(
    ("interrupt", "s3"),
    [
        (signal.SIGINT, "moto"),
        pytest.param(signal.SIGINT, "localstack", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "localstack", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, "localstack", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("moment", ["while the stack starts", "while workers train"])
def test_an_interrupted_run_leaves_nothing(project, mode, interrupt, s3, moment):
    """After Ctrl-C the prompt is back within seconds, and every process, container and folder of the run is gone."""
    job = ["--n-workers", "3", "--n-epochs", "1000000", "--data", "synthetic:rows=3000"]
    command = [HARNESS, "run", "--s3", s3, *job]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as run:
        begun = stacks_of if moment == "while the stack starts" else lambda project: busy_environments(project) == 3
        assert wait_until(lambda: begun(project), 60)
        family = family_of(run.pid)

        interrupted = time.monotonic()
        run.send_signal(interrupt)
        run.wait(60)
        seconds = time.monotonic() - interrupted
        error = run.stderr.read()

    assert seconds < INTERRUPTED_WITHIN_S[mode]
    assert run.returncode != 0
    assert "Traceback" not in error
    assert "\ninterrupted" in f"\n{error}"
    if moment == "while workers train":
        assert "its 3 workers were told to stop" in error
        assert "the stack that was started for this command was stopped" in error
    assert wait_until(lambda: not any(process.is_running() for process in family), 60)
    assert [] == stacks_of(project)
    assert [] == containers_of(project, mode)


@pytest.mark.parametrize(
    ("n_workers", "interrupt"), [pytest.param(1, signal.SIGINT, marks=pytest.mark.slow), (2, signal.SIGHUP)]
)
def test_an_interrupted_run_on_a_shared_stack_stops_its_workers(project, n_workers, interrupt):
    """After Ctrl-C, or a closed terminal, on a stack that stays up, workers end and environments are free again."""
    assert 0 == harness(project, "up", "--s3", "moto").returncode
    try:
        command = [HARNESS, "run", "--n-workers", str(n_workers), "--n-epochs", "1000000", "--data", "sklearn:wine"]
        with subprocess.Popen(command, cwd=project, stderr=subprocess.DEVNULL) as run:
            assert wait_until(lambda: busy_environments(project) == n_workers, 60)
            run.send_signal(interrupt)

        assert wait_until(lambda: busy_environments(project) == 0, 30)
    finally:
        harness(project, "down")


def test_a_killed_run_leaves_nothing(project, mode):
    """Even `kill -9` on `harness run` takes the whole stack with it, and its folder."""
    job = ["--n-workers", "2", "--n-epochs", "1000000", "--data", "synthetic:rows=3000"]
    command = [HARNESS, "run", "--s3", "moto", *job]
    with subprocess.Popen(command, cwd=project) as run:
        assert wait_until(lambda: busy_environments(project) == 2, 60)
        family = family_of(run.pid)
        run.kill()

    assert wait_until(lambda: not any(process.is_running() for process in family), 60)
    assert wait_until(lambda: stacks_of(project) == [], 60)
    assert [] == containers_of(project, mode)


def test_every_command_explains_itself():
    """Each verb's help has an example."""
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        text = command.get_help(click.Context(command, info_name=verb))
        assert "Example" in text or verb in {"data", "images"}, verb
        assert "\\b" not in text, verb


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["rnu"], "'run'"), (["stauts"], "'status'"), (["images", "biuld"], "'build'"), (["data", "mak"], "'make'")],
)
def test_a_mistyped_verb_is_answered_with_the_nearest(arguments, meant):
    """At any level; verbs are not imported for it."""
    answer = CliRunner().invoke(cli, arguments)
    assert 2 == answer.exit_code
    assert f"Did you mean {meant}" in answer.output


def busy_environments(project):
    """How many workers run now on the project's stack, shared or private; none while it starts or stops."""
    try:
        state, *_ = project.glob(".harness/**/state.json")
        where = json.loads(state.read_text())["endpoints"]
        url, headers = f"{where['lambda']}/_harness/environments", authorization(where["access_key"])
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return json.load(answer)["environments"].get("linear_ec_2", {}).get("busy", 0)
    except (ValueError, OSError):
        return 0


def family_of(pid):
    """A process's descendants."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def containers_of(project, mode):
    """Containers that are left of a project's stacks."""
    if mode == "process":
        return []
    with closing(connect()) as client:
        return client.containers.list(all=True, filters={"label": f"lambda-harness.project={project}"}, sparse=True)


def stacks_of(project):
    """Folders of stacks that are left in a project."""
    folder = project / ".harness" / "stacks"
    return list(folder.iterdir()) if folder.exists() else []
