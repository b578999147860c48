"""Labels on processes: whoever descends from a labelled one is found, stopped and ended."""

import subprocess
from pathlib import Path

import psutil
import pytest

from harness.families import Members, end_environment, end_stack, environment_label, label_of, set_label, stack_label
from harness.gateway.scratch import clean_up_scratch, make_scratch
from harness.stack.probes import wait_until
from tests.support.gateway import runs

pytestmark = pytest.mark.integration

WITHIN_S = 10
# Waits for a line, so that it is labelled before it starts anything; then for ever.
SHELL = ["sh", "-c", 'read line; eval "$line"; exec sleep 300']
DAEMON = "(env -i setsid sh -c 'echo $$ >> {0}; exec sleep 300' </dev/null >/dev/null 2>&1 &); "


@pytest.fixture
def stack(tmp_path):
    """The label of a stack that no other test has."""
    label = stack_label(tmp_path)
    yield label
    assert end_stack(label)


@pytest.fixture
def start(stack):
    """Starts a labelled shell that runs a line; both end with the test."""
    started = []

    def start_shell(number, line=""):
        process = subprocess.Popen(SHELL, stdin=subprocess.PIPE, text=True)
        started.append(process)
        set_label(process.pid, environment_label(stack, number) if number else stack)
        process.stdin.write(line + "\n")
        process.stdin.close()
        return process

    yield start_shell
    for process in started:
        process.kill()
        process.wait()


def daemon_of(file: Path) -> int:
    """The process that has noted itself in the file."""
    assert wait_until(lambda: file.exists() and bool(file.read_text().strip()), WITHIN_S)
    return int(file.read_text())


def test_an_environment_ends_alone(stack, start, tmp_path):
    """A daemon without variables goes with its environment; the next environment and the stack's service stay."""
    service, mine, other = start(0), start(1, DAEMON.format(tmp_path / "pid")), start(2)
    daemon = daemon_of(tmp_path / "pid")

    assert label_of(daemon) == environment_label(stack, 1)
    assert end_environment(environment_label(stack, 1))

    assert [False, False, True, True] == [runs(pid) for pid in (mine.pid, daemon, other.pid, service.pid)]
    assert end_stack(stack, environments_only=True)
    assert [False, True] == [runs(other.pid), runs(service.pid)]


def test_a_process_that_starts_others_all_the_time_ends(stack, start):
    """None that is started while the others are being killed survives."""
    bomb = "for n in 1 2 3 4; do (while :; do sleep 300 & sleep 0.001; done) & done"
    start(1, bomb)
    label = environment_label(stack, 1)
    assert wait_until(lambda: sum(label_of(pid) == label for pid in psutil.pids()) > 20, WITHIN_S)

    assert end_environment(label)

    assert not [pid for pid in psutil.pids() if label_of(pid) == label and runs(pid)]


def test_members_are_stopped_and_continued_except_rie(stack, start, tmp_path):
    """Those that appear later are found too; RIE goes on."""
    rie = start(1)
    members = Members(environment_label(stack, 1), rie.pid)
    runtime = start(1)

    def states(*pids):
        return [psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids]

    members.freeze()
    assert wait_until(lambda: states(rie.pid, runtime.pid) == [False, True], WITHIN_S)
    members.thaw()
    assert wait_until(lambda: states(rie.pid, runtime.pid) == [False, False], WITHIN_S)
    start(1, DAEMON.format(tmp_path / "pid"))
    daemon = daemon_of(tmp_path / "pid")
    members.freeze()
    assert wait_until(lambda: states(rie.pid, runtime.pid, daemon) == [False, True, True], WITHIN_S)
    members.thaw()
    assert wait_until(lambda: states(rie.pid, runtime.pid, daemon) == [False, False, False], WITHIN_S)


def test_scratch_folders_of_killed_stacks_go_with_their_processes(stack, start):
    """While a service of the stack runs, nothing of it is touched."""
    folder = make_scratch(stack)
    service, left = start(0), start(1)

    clean_up_scratch()
    assert [True, True] == [folder.is_dir(), runs(left.pid)]
    service.kill()
    service.wait()
    clean_up_scratch()

    assert [False, False] == [folder.exists(), runs(left.pid)]


def test_a_process_of_another_stack_is_never_signalled(stack, start):
    """A number that the kernel has given to a stranger since is not taken for a member's."""
    rie = start(1)
    members = Members(environment_label(stack, 1), rie.pid)
    member = start(1)
    members.freeze()
    members.thaw()
    set_label(member.pid, environment_label(stack, 2))

    members.freeze()

    assert psutil.Process(member.pid).status() != psutil.STATUS_STOPPED
