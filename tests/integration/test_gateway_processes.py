"""The processes of a function: all end with the environment, and none runs between invocations."""

import base64
import contextlib
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from harness.gateway.scratch import make_scratch
from harness.stack import shared_stack
from harness.system.probes import wait_until
from harness.system.process_labels import stack_label
from tests.support.gateway import Service, runs

GONE_WITHIN_S = 30

# Children that stay in the handler's session, leave it, or give up everything that a process inherits by default.
LEAVE = r"""
import multiprocessing, os, subprocess, sys, time

DAEMON = '''
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "a").write(f"{os.getpid()} ")
        os.closerange(0, 3)
        time.sleep(300)
'''

def start(pids):
    null = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child = multiprocessing.Process(target=time.sleep, args=(300,))
    child.start()
    leader = subprocess.Popen(["sleep", "300"], start_new_session=True, **null)
    subprocess.run([sys.executable, "-I", "-S", "-c", DAEMON, pids], env={}, check=True)
    with open(pids, "a") as file:
        file.write(f"{child.pid} {leader.pid} {os.getpid()} ")
    while len(open(pids).read().split()) < 4:
        time.sleep(0.01)

def handler(event, context):
    if not os.path.exists(event["pids"]):
        start(event["pids"])
    if event["end"] == "crash": os._exit(1)
    if event["end"] == "timeout": time.sleep(60)
    return "alive"
"""

# A thread and an orphan note the times at which they run, by the clock that all processes share.
TICKS = r"""
import os, subprocess, sys, threading, time
ticks = []
CHILD = '''
import os, sys, time
while True:
    time.sleep(0.01)
    with open(sys.argv[1], "a") as file: print(os.getpid(), time.monotonic(), file=file)
'''

def tick():
    while True:
        time.sleep(0.01)
        ticks.append(time.monotonic())

def handler(event, context):
    if not ticks:
        threading.Thread(target=tick, daemon=True).start()
        # Two generations, the second an orphan of another session.
        subprocess.run(["sh", "-c", 'setsid "$0" -c "$1" "$2" </dev/null >/dev/null 2>&1 &',
                        sys.executable, CHILD, event["file"]], check=True)
        while not (os.path.exists(event["file"]) and os.path.getsize(event["file"])): time.sleep(0.01)
    seen = len(ticks)
    while len(ticks) < seen + event.get("ticks", 3): time.sleep(0.01)
    return {"pid": os.getpid(), "ticks": ticks}
"""

LATE = r"""
import os, threading, time
printed = threading.Event()

def print_late(file):
    while not os.path.exists(file):
        time.sleep(0.01)
    print("late", flush=True)
    printed.set()

def handler(event, context):
    if event["wait"]:
        printed.wait()
    else:
        threading.Thread(target=print_late, args=(event["file"],), daemon=True).start()
    return os.getpid()
"""


@pytest.fixture(params=["forked", "fresh"])
def service(request: pytest.FixtureRequest) -> Service:
    """Provide both gateways, one after the other."""
    gateway: Service = request.getfixturevalue(request.param)
    return gateway


def left_by(folder: Path) -> list[int]:
    """Return the processes that handlers have recorded in this folder."""
    return [int(pid) for file in folder.glob("*.pids") for pid in file.read_text().split()]


@pytest.mark.parametrize("end", ["crash", "timeout", "delete", "update"])
def test_all_processes_of_an_environment_end_with_it(service, write, tmp_path, end):
    """A child, a session leader and a daemon without variables or descriptors end, however the environment ends."""
    name = service.create(write("leave", LEAVE), "leave.handler", Timeout=6 if end == "timeout" else 30)
    answer = service.invoke(name, {"end": end, "pids": str(tmp_path / "a.pids")})
    left = left_by(tmp_path)
    assert len(left) == 4
    if end == "delete":
        service.clients.functions.delete_function(FunctionName=name)
    elif end == "update":
        service.clients.functions.update_function_configuration(FunctionName=name, MemorySize=512)

    assert (answer == "alive") == (end in ("delete", "update"))
    assert wait_until(lambda: not any(map(runs, left)), GONE_WITHIN_S)


@pytest.mark.parametrize(
    # That nothing outlives a killed gateway alone is also among the daily tests: test_gateway_fork.
    "killed",
    [pytest.param("gateway", marks=pytest.mark.slow), "supervisor", "both"],
)
def test_no_process_outlives_a_killed_stack(project, run_harness, write, tmp_path, mode, killed):
    """The next command ends what the kernel did not, and removes the folder for temporary files."""
    if mode == "container":
        pytest.skip("functions are processes in process mode only")
    assert 0 == run_harness("up").returncode
    state = shared_stack(project)
    assert state is not None
    service = Service(state)
    pids = str(tmp_path / "a.pids")
    service.invoke(service.create(write("leave", LEAVE), "leave.handler"), {"end": "", "pids": pids})
    left = left_by(tmp_path)
    scratch = make_scratch(stack_label(state.directory))
    assert list(scratch.glob("*"))

    for pid in [state.pid] * (killed != "gateway") + [state.processes["gateway"]] * (killed != "supervisor"):
        # The kernel ends the gateway with its supervisor, perhaps before this line does.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if killed != "gateway":
        assert wait_until(lambda: not runs(state.processes["gateway"]), GONE_WITHIN_S)
        assert 0 == run_harness("down").returncode

    assert wait_until(lambda: not any(map(runs, left)), GONE_WITHIN_S)
    assert 0 == run_harness("down").returncode
    assert not scratch.exists()


def test_nothing_runs_between_invocations(service, write, tmp_path):
    """A thread and an orphan in another session stop, while RIE continues."""
    file = tmp_path / "ticks"
    name = service.create(write("ticks", TICKS), "ticks.handler")

    before = service.invoke(name, {"file": str(file)})
    both = [psutil.Process(int(pid)) for pid in (before["pid"], file.read_text().split()[0])]
    assert wait_until(lambda: all(map(is_stopped, both)), GONE_WITHIN_S)
    stopped_at = time.monotonic()
    # Meanwhile another function's thread runs for 50 ticks.
    witness = service.create(write("ticks", TICKS), "ticks.handler")
    assert len(service.invoke(witness, {"file": str(tmp_path / "witness"), "ticks": 50})["ticks"]) >= 50
    resumed_at = time.monotonic()
    after = service.invoke(name, {"file": str(file)})

    ticks, by_the_orphan = after["ticks"], [float(line.split()[1]) for line in file.read_text().splitlines()]
    assert before["pid"] == after["pid"]
    assert len(before["ticks"]) >= 3
    assert before["ticks"] == ticks[: len(before["ticks"])]
    assert ticks[-1] > resumed_at
    assert not [at for at in (*ticks, *by_the_orphan) if stopped_at < at < resumed_at]


def is_stopped(process):
    """Whether a process is stopped."""
    return process.status() == psutil.STATUS_STOPPED


def test_late_output_belongs_to_the_next_invocation(service, write, tmp_path):
    """A thread prints after its handler has returned: the line is in the log of the invocation that resumes it."""
    name = service.create(write("late", LATE), "late.handler")

    def log_of(*, wait):
        event = json.dumps({"wait": wait, "file": str(tmp_path / "now")})
        answer = service.clients.functions.invoke(FunctionName=name, Payload=event, LogType="Tail")
        return json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode()

    pid, first = log_of(wait=False)
    assert wait_until(lambda: is_stopped(psutil.Process(pid)), GONE_WITHIN_S)
    (tmp_path / "now").touch()
    same, second = log_of(wait=True)

    assert "late" not in first
    assert "late" in second
    assert pid == same
