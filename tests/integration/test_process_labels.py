"""Labels on processes: every descendant of a labelled process is found, stopped and ended."""

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.gateway.rie_process import RECHECK_AFTER_S, runtime_of
from harness.gateway.scratch import clean_up_scratch, make_scratch
from harness.system import process_labels
from harness.system.probes import wait_until
from harness.system.process_identity import identity_of
from harness.system.process_labels import (
    Members,
    end_environment,
    end_stack,
    environment_label,
    has_services,
    label_of,
    set_label,
    stack_label,
)
from tests.support.gateway import runs

WITHIN_S = 30
NOT_RUNNING = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
# Waits for a line, so that it is labelled before it starts anything; then forever.
SHELL = ["sh", "-c", 'read line; eval "$line"; exec sleep 300']
# Large, so that each fork takes milliseconds.
FORKS = """
import os, time
pages = bytearray(b"x") * (200 << 20)
while True:
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
"""
DAEMON = "(env -i setsid sh -c 'echo $$ >> {0}; exec sleep 300' </dev/null >/dev/null 2>&1 &); "


@pytest.fixture
def stack(tmp_path):
    """Return the label of a stack that no other test has."""
    label = stack_label(tmp_path)
    yield label
    assert end_stack(label)


@pytest.fixture
def start(stack):
    """Start a labelled shell that runs a line; both end with the test."""
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


def status_of(pid: int) -> str:
    """Return a process's status; one that has ended meanwhile counts as a zombie."""
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def daemon_of(file: Path) -> int:
    """Return the process that has recorded itself in the file."""
    assert wait_until(lambda: file.exists() and bool(file.read_text().strip()), WITHIN_S)
    return int(file.read_text())


def test_an_environment_ends_alone(stack, start, tmp_path):
    """A daemon without variables ends with its environment; the next environment and the stack's service stay."""
    service, mine, other = start(0), start(1, DAEMON.format(tmp_path / "pid")), start(2)
    daemon = daemon_of(tmp_path / "pid")

    assert label_of(daemon) == environment_label(stack, 1)
    assert end_environment(environment_label(stack, 1))

    assert [False, False, True, True] == [runs(pid) for pid in (mine.pid, daemon, other.pid, service.pid)]
    assert end_stack(stack, environments_only=True)
    assert [False, True] == [runs(other.pid), runs(service.pid)]


def test_a_process_that_starts_others_all_the_time_ends(stack, start):
    """No process that is started while the others are being killed survives."""
    bomb = "for n in 1 2 3 4; do (while :; do sleep 300 & sleep 0.001; done) & done"
    start(1, bomb)
    label = environment_label(stack, 1)
    assert wait_until(lambda: sum(label_of(pid) == label for pid in psutil.pids()) > 20, WITHIN_S)

    assert end_environment(label)

    assert not [pid for pid in psutil.pids() if label_of(pid) == label and runs(pid)]


def test_members_are_stopped_and_continued_except_rie(stack, start, tmp_path):
    """Later ones are found, too; RIE continues."""
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
    """As long as a service of the stack runs, nothing of it is touched."""
    # Label it first: without a service, the folder would be that of a killed stack.
    service, left = start(0), start(1)
    folder = make_scratch(stack)

    clean_up_scratch()
    assert [True, True] == [folder.is_dir(), runs(left.pid)]
    service.kill()
    service.wait()
    clean_up_scratch()

    assert [False, False] == [folder.exists(), runs(left.pid)]


def test_a_process_of_another_stack_is_never_signalled(stack, start):
    """A pid that the kernel has since given to another process is not mistaken for a member's."""
    rie = start(1)
    members = Members(environment_label(stack, 1), rie.pid)
    member = start(1)
    members.freeze()
    members.thaw()
    set_label(member.pid, environment_label(stack, 2))

    members.freeze()

    assert psutil.Process(member.pid).status() != psutil.STATUS_STOPPED


def test_the_child_of_a_fork_in_flight_is_stopped_too(stack, start, tmp_path):
    """It appears only after its parent was stopped, with or without an invocation in between."""
    (tmp_path / "forks.py").write_text(FORKS)
    rie, label = start(1), environment_label(stack, 1)
    members = Members(label, rie.pid)
    start(1, f"exec {sys.executable} -I -S {tmp_path / 'forks.py'}")

    def all_of_it():
        return [pid for pid in psutil.pids() if label_of(pid) == label and pid != rie.pid]

    def still_run():
        return [pid for pid in all_of_it() if status_of(pid) not in NOT_RUNNING]

    assert wait_until(lambda: len(all_of_it()) > 3, WITHIN_S)
    for number in range(12):
        members.freeze()
        if number % 3:
            time.sleep(RECHECK_AFTER_S)
            while members.freeze_late_children():
                time.sleep(RECHECK_AFTER_S)
            assert wait_until(lambda: not still_run(), WITHIN_S), number
        members.thaw()
        time.sleep(0.01)  # in which it forks
    assert runs(rie.pid)


@pytest.fixture
def strange_loadavg(monkeypatch, tmp_path):
    """Replace /proc/loadavg by a file about other processes, as lxcfs does."""
    (tmp_path / "loadavg").write_text("0.00 0.00 0.00 1/2 7\n")
    with (tmp_path / "loadavg").open() as file:
        process_labels.last_pid_is_own.cache_clear()
        monkeypatch.setattr(process_labels, "_loadavg", file.fileno)
        yield
    process_labels.last_pid_is_own.cache_clear()


@pytest.mark.usefixtures("strange_loadavg")
def test_members_are_found_where_loadavg_is_of_another_namespace(stack, start):
    """All processes are scanned then."""
    rie = start(1)
    members = Members(environment_label(stack, 1), rie.pid)
    runtime = start(1)

    members.freeze()

    assert wait_until(lambda: psutil.Process(runtime.pid).status() == psutil.STATUS_STOPPED, WITHIN_S)


def test_only_ries_child_stands_in_for_another_process(stack, start, tmp_path):
    """Any program may have such a name: it is stopped like others, and refers to no other environment's process."""
    stranger = start(2)
    program = tmp_path / f"fork {stranger.pid}"
    shutil.copy(shutil.which("sleep"), program)
    rie = start(1, f"'{program}' 300 & wait")
    assert wait_until(lambda: psutil.Process(rie.pid).children(), WITHIN_S)
    client = psutil.Process(rie.pid).children()[0]
    assert wait_until(lambda: client.name() == program.name, WITHIN_S)
    members = Members(environment_label(stack, 1), rie.pid)
    pretender = start(1, f"exec '{program}' 300")
    assert wait_until(lambda: psutil.Process(pretender.pid).name() == program.name, WITHIN_S)

    members.freeze()

    assert wait_until(lambda: psutil.Process(pretender.pid).status() == psutil.STATUS_STOPPED, WITHIN_S)
    assert client.pid == runtime_of(rie.pid)
    set_label(stranger.pid, environment_label(stack, 1))
    assert stranger.pid == runtime_of(rie.pid)


def test_processes_whose_files_are_hidden_are_passed_over(stack, start, monkeypatch):
    """With `hidepid`, /proc hides set-ID programs and other users' processes."""
    process = start(0)

    def refuse(*_arguments, **_options):
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert identity_of(process.pid) is None
    assert not has_services(stack)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(resource, "prlimit", refuse)
    assert label_of(process.pid) is None
    assert end_stack(stack)
    monkeypatch.undo()
    assert runs(process.pid)
