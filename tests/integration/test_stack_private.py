"""Private stacks: one run's own, ended with it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
import pytest

from harness.settings import Settings
from harness.stack import StackState, client_environment, stack_for_run, start_private_stack
from harness.system import records
from harness.system.probes import wait_until
from harness.system.process_life import identity_of, is_alive
from training.exchange.channel.discovery import discover

WITHIN_S = 20.0
OWNER = """
import sys
from pathlib import Path
from harness.settings import load_settings
from harness.stack import stack_for_run
with stack_for_run(load_settings(Path(sys.argv[1]))) as state:
    print(state.directory / "state.json", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner_of_a_stack(project: Settings, script: str = OWNER) -> Iterator[tuple[subprocess.Popen[str], StackState]]:
    """Another process that has a private stack, in a terminal's foreground group of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", script, project.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as owner:
        try:
            assert owner.stdout is not None
            path = Path(owner.stdout.readline().strip())
            yield owner, records.decode(path.read_bytes(), StackState)
        finally:
            owner.kill()


def s3_of(state: StackState):
    """An S3 client of this stack."""
    return boto3.client(
        "s3",
        endpoint_url=state.endpoints.s3,
        aws_access_key_id=state.endpoints.access_key,
        aws_secret_access_key="test",
        region_name="us-east-1",
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_private_stack_ends_with_its_owner(project, number):
    """Whatever signal the owner's terminal sends, no process and no folder is left."""
    with owner_of_a_stack(project) as (owner, state):
        below = psutil.Process(state.pid).children(recursive=True)
        processes = [state.supervisor, *(identity_of(process.pid) for process in below)]
        os.killpg(owner.pid, number)

        assert wait_until(lambda: not any(process and is_alive(process) for process in processes), WITHIN_S)
        assert wait_until(lambda: not state.directory.exists(), WITHIN_S)


def test_a_stack_of_its_own_removes_what_a_power_cut_left(project):
    """All processes of an earlier run were killed at once, and none of them could clean up."""
    with owner_of_a_stack(project) as (_, left):
        family = [psutil.Process(left.pid), *psutil.Process(left.pid).children(recursive=True)]
        for process in family:
            process.suspend()
        # From the leaves: the kernel ends a process with its parent, and nobody reaps one whose parent is suspended.
        for process in reversed(family):
            process.kill()
        assert wait_until(lambda: not is_alive(left.supervisor), WITHIN_S)
        assert left.directory.exists()

        with start_private_stack(project) as state:
            assert [state.directory] == list(state.directory.parent.iterdir())


def test_signals_that_the_caller_blocks_or_ignores_still_stop_its_stack(project):
    """As under `trap '' TERM` or `nohup`: no part of the stack inherits it, so the end takes a moment, not 40 s."""
    awkward = {signal.SIGTERM, signal.SIGUSR1}
    script = f"""
import signal
for number in {sorted(map(int, awkward))}:
    signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
{OWNER}"""

    with owner_of_a_stack(project, script) as (owner, state):
        status = Path(f"/proc/{state.processes['moto']}/status").read_text()
        masks = {name: int(mask, 16) for name, mask in re.findall(r"^(Sig\w+):\t([0-9a-f]{16})$", status, re.MULTILINE)}
        started = time.monotonic()
        owner.stdin.close()
        owner.wait(60)

    assert time.monotonic() - started < 30
    assert masks["SigBlk"] == 0
    assert not any(masks["SigIgn"] >> (number - 1) & 1 for number in awkward)


def test_an_error_in_the_run_stops_the_stack_and_stays_the_error(project):
    """The clean-up does not hide what went wrong."""
    states = []

    def failing_run() -> None:
        with stack_for_run(project) as state:
            states.append(state)
            raise LookupError("the run's own")

    with pytest.raises(LookupError, match="the run's own"):
        failing_run()
    assert not is_alive(states[0].supervisor)
    assert not states[0].directory.exists()


def test_two_stacks_do_not_meet(project, settings, stack, pytestconfig):
    """Two stacks side by side share no object, no cache entry and no folder."""
    kind = pytestconfig.getoption("--s3")
    with start_private_stack(project, s3=kind) as other:
        s3_of(stack).create_bucket(Bucket="same-name")
        s3_of(stack).put_object(Bucket="same-name", Key="mine", Body=b"1")
        s3_of(other).create_bucket(Bucket="same-name")

        assert s3_of(other).list_objects_v2(Bucket="same-name")["KeyCount"] == 0
        assert other.endpoints.memcached != stack.endpoints.memcached
        assert project.state_dir in other.directory.parents
    assert s3_of(stack).list_objects_v2(Bucket="same-name")["KeyCount"] == 1
    assert settings.state_dir in stack.directory.parents


def test_everything_listens_on_loopback_only(stack):
    """No process of the stack can be reached from another machine."""
    processes = [psutil.Process(stack.pid), *psutil.Process(stack.pid).children(recursive=True)]
    listening = [
        connection.laddr
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    ]

    assert len(listening) >= len(stack.processes)
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_no_child_has_the_users_environment(stack):
    """A variable of whoever starts the stack (here pytest's own) reaches no process of the stack."""
    environments = [psutil.Process(pid).environ() for pid in stack.processes.values()]

    assert "PYTEST_VERSION" in os.environ
    assert not any("PYTEST_VERSION" in variables for variables in environments)


def test_memcached_never_runs_as_root(stack):
    """Memcached has no more rights than it needs."""
    assert psutil.Process(stack.processes["memcached"]).uids().effective != 0


def test_a_stack_starts_in_the_main_thread_only(project):
    """The kernel would end the stack with the thread, so a thread gets an error instead."""
    errors = []

    def start() -> None:
        try:
            start_private_stack(project).__enter__()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert errors == ["a private stack ends with the thread that starts it: start it in the main thread"]


def test_workers_find_memcached_through_the_configuration_endpoint(stack):
    """What the endpoint lists is the stack's memcached."""
    host, _, port = stack.endpoints.discovery.rpartition(":")
    nodes = discover(host, int(port), timeout_s=5).nodes

    assert [f"{name}:{number}" for name, number in nodes] == [stack.endpoints.memcached]


def test_the_clients_variables_name_every_endpoint(stack):
    """boto3 needs nothing but these variables to talk to the stack."""
    variables = client_environment(stack)

    assert variables["AWS_ENDPOINT_URL_S3"] == stack.endpoints.s3
    assert variables["AWS_ENDPOINT_URL_LAMBDA"] == stack.endpoints.lambda_
    assert variables["AWS_ENDPOINT_URL"] == stack.endpoints.aws
