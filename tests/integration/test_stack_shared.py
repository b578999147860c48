"""The shared stack: `harness up`, `status` and `down` as a user meets them."""

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from harness.errors import HarnessError
from harness.settings import Settings
from harness.stack import StackState, shared_stack, stack_for_run, start_shared_stack
from harness.system.probes import wait_until
from harness.system.process_life import ProcessIdentity, identity_of, is_alive

# How long a child may outlive its parent, and a stack the signal that ends it: moments, on a machine that is not busy.
GONE_WITHIN_S = 20.0
STOPPED_WITHIN_S = 30.0


def processes_of(state: StackState) -> list[ProcessIdentity]:
    """The supervisor and everything below it."""
    below = psutil.Process(state.pid).children(recursive=True)
    assert set(state.processes.values()) <= {process.pid for process in below}
    identities = [state.supervisor, *(identity_of(process.pid) for process in below)]
    return [identity for identity in identities if identity is not None]


def nothing_is_left(project: Settings, processes: list[ProcessIdentity]) -> bool:
    """Whether processes, folders and state file are gone."""
    return (
        not any(is_alive(process) for process in processes)
        and not list((project.state_dir / "stacks").iterdir())
        and not (project.state_dir / "state.json").exists()
    )


def test_up_status_down(project, run_harness):
    """A second `up` reports the stack of the first; `down` leaves nothing and can be said again."""
    first, second = run_harness("up", "--json"), run_harness("up")
    status = json.loads(run_harness("status", "--json").stdout)
    state = shared_stack(project)
    assert state is not None
    processes = processes_of(state)

    assert first.returncode == second.returncode == 0
    assert json.loads(first.stdout) == status["stack"]
    assert second.stdout.startswith("the stack is up already\n")
    assert status["dead"] == []
    assert run_harness("down").stdout == "the stack is down\n"
    assert nothing_is_left(project, processes)
    again = run_harness("down")
    assert (again.returncode, again.stdout) == (0, "no stack was up\n")
    assert run_harness("status").stdout == "no stack is up\n"


def test_a_stack_is_shown_and_stopped_while_harness_toml_is_broken(project, run_harness):
    """The file is needed to start a stack; `status` and `down` warn about it, `doctor` lists it, and `up` refuses."""
    state, _ = start_shared_stack(project)
    (project.root / "harness.toml").write_text('[stack]\ns3 = "mot"')
    words = "stack.s3: Invalid enum value 'mot'"

    up, status = run_harness("up"), run_harness("status", "--json")
    doctor, fix = run_harness("doctor", "--json"), run_harness("doctor", "--fix")
    down = run_harness("down")

    assert up.returncode == fix.returncode == 1
    assert up.stderr.startswith(f"error: {words}")
    assert fix.stderr.startswith(f"error: {words}")
    assert status.returncode == 0
    assert status.stderr.startswith(f"warning: {words}")
    assert json.loads(status.stdout)["stack"]["pid"] == state.pid
    assert doctor.returncode == 1
    failed = [check for check in json.loads(doctor.stdout) if check["required"] and not check["ok"]]
    assert [(check["name"], check["found"]) for check in failed] == [("settings", words)]
    assert 'it takes "localstack" or "moto"' in failed[0]["remedy"]
    assert (down.returncode, down.stdout) == (0, "the stack is down\n")
    assert down.stderr.startswith(f"warning: {words}")


def test_a_stack_whose_state_was_damaged_or_removed_is_still_found(project, run_harness):
    """`up` starts no second one, `status` shows the first, and `down` stops it whatever was deleted."""
    state, _ = start_shared_stack(project)
    processes, file = processes_of(state), project.state_dir / "state.json"

    file.unlink()
    up = run_harness("up")
    file.write_text("{")
    status = run_harness("status", "--json")
    shutil.rmtree(project.state_dir)
    second, down = run_harness("up"), run_harness("down")

    assert up.stdout.startswith("the stack is up already\n")
    assert status.returncode == 0
    assert json.loads(status.stdout)["stack"]["pid"] == state.pid
    assert second.returncode == 1
    assert f"pid {state.pid}" in second.stderr
    assert down.stdout == "the stack is down\n"
    assert wait_until(lambda: not any(is_alive(process) for process in processes), GONE_WITHIN_S)


@pytest.mark.usefixtures("run_harness")
def test_a_stack_ends_with_its_project(project):
    """Nobody needs a stack whose project was removed, and nobody would find it: it leaves no process."""
    state, _ = start_shared_stack(project)
    processes = processes_of(state)

    shutil.rmtree(project.root)
    ended = wait_until(lambda: not any(is_alive(process) for process in processes), STOPPED_WITHIN_S)
    project.root.mkdir()  # `down` takes what is left after a failure

    assert ended
    assert not list(project.root.iterdir())


@pytest.mark.parametrize("written", [pytest.param({}, marks=pytest.mark.slow), {"code_sha256": "of a later version"}])
def test_a_stack_of_another_version_is_refused_in_one_line_and_can_be_stopped(project, run_harness, written):
    """Commands that would use it say so at once; `status` shows it, and `down` stops it."""
    state, _ = start_shared_stack(project)
    processes = processes_of(state)
    for file in (project.state_dir / "state.json", state.directory / "state.json"):
        fields = json.loads(file.read_text())
        del fields["code_sha256"]
        file.write_text(json.dumps(fields | written))

    with pytest.raises(HarnessError, match="another version of the harness"), stack_for_run(project):
        pass
    users = [run_harness(*words) for words in (["up"], ["runs"], ["logs", "linear_ec_2"], ["status", "--shell"])]
    status = run_harness("status")

    for user in users:
        assert (1, "") == (user.returncode, user.stdout)
        assert "error: the stack was started by another version of the harness\n" in user.stderr
        assert "run `harness down`, then `harness up`" in user.stderr
    assert 1 == status.returncode
    assert "another version of the harness started it" in status.stdout
    assert str(state.pid) in status.stdout
    assert run_harness("down").stdout == "the stack is down\n"
    assert nothing_is_left(project, processes)


def test_a_damaged_state_file_without_a_stack_is_replaced(project, run_harness):
    """No stack is up: the file is of no use, and no command fails for it."""
    project.state_dir.mkdir()
    (project.state_dir / "state.json").write_text("{")

    down = run_harness("down")

    assert (down.returncode, down.stdout) == (0, "no stack was up\n")
    assert not (project.state_dir / "state.json").exists()


def test_two_ups_at_once_start_one_stack(project, run_harness):
    """Whoever comes second waits, and reports the first's stack."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ups = list(pool.map(lambda _: run_harness("up", "--json"), range(2)))

    assert [up.returncode for up in ups] == [0, 0]
    assert ups[0].stdout == ups[1].stdout
    assert len(list((project.state_dir / "stacks").iterdir())) == 1


def test_a_killed_supervisor_takes_its_children_along(project, run_harness):
    """After kill -9 of the supervisor the kernel ends its children, and the next command removes the rest."""
    state, _ = start_shared_stack(project)
    processes = processes_of(state)

    os.kill(state.pid, signal.SIGKILL)

    assert wait_until(lambda: not any(is_alive(process) for process in processes), GONE_WITHIN_S)
    assert run_harness("status").stdout == "no stack is up\n"
    assert nothing_is_left(project, processes)


def test_a_dead_child_is_named(project, run_harness):
    """`status` fails and says who died; `up` and runs refuse the damaged stack; SIGTERM still ends it cleanly."""
    state, _ = start_shared_stack(project)
    processes = processes_of(state)
    os.kill(state.processes["moto"], signal.SIGKILL)
    assert wait_until(lambda: identity_of(state.processes["moto"]) is None, GONE_WITHIN_S)

    status, up = run_harness("status", "--json"), run_harness("up")

    assert status.returncode == 1
    assert json.loads(status.stdout)["dead"] == ["moto"]
    assert up.returncode == 1
    assert "moto no longer runs" in up.stderr
    assert "harness down" in up.stderr
    with pytest.raises(HarnessError, match="moto no longer runs"):
        stack_for_run(project).__enter__()
    os.kill(state.pid, signal.SIGTERM)
    assert wait_until(lambda: nothing_is_left(project, processes), STOPPED_WITHIN_S)


def test_an_interrupted_up_leaves_nothing(project):
    """Ctrl-C while the stack starts stops what was started."""
    main = "from harness.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", main, "up"], cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as up:
        started = []

        def is_starting() -> bool:
            started[:] = psutil.Process(up.pid).children(recursive=True)
            return len(started) > 1

        assert wait_until(is_starting, timeout_s=60.0)
        processes = [identity for process in started if (identity := identity_of(process.pid))]
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=STOPPED_WITHIN_S)

    assert up.returncode != 0
    assert nothing_is_left(project, processes)


def test_runs_and_shells_use_the_shared_stack(project, run_harness):
    """The stack that is up serves runs, and plain boto3 code after `eval "$(harness status --shell)"`."""
    without = run_harness("status", "--shell")
    state, _ = start_shared_stack(project)
    lines = run_harness("status", "--shell").stdout
    script = "import boto3; boto3.client('s3').create_bucket(Bucket='from-the-shell')"
    script += "; print(len(boto3.client('lambda').list_functions()['Functions']))"
    shell = subprocess.run(
        ["sh", "-c", f'{lines}\nexec "{sys.executable}" -c "{script}"'],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )

    assert without.returncode == 1
    assert "no stack is up" in without.stderr
    assert (shell.returncode, shell.stdout) == (0, "0\n"), shell.stderr
    with stack_for_run(project) as used, stack_for_run(project, s3="moto") as asked:
        assert used == asked == state
    with stack_for_run(project, s3="localstack") as private:
        assert (private.s3, private.pid == state.pid) == ("localstack", False)
    assert shared_stack(project) == state
