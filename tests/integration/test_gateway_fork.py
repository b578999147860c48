"""Environments forked from a pre-imported parent are indistinguishable from fresh ones."""

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from harness.bundle import BUNDLE
from harness.gateway.rie_process import child_of, runtime_of
from harness.stack import start_private_stack
from harness.system.probes import wait_until
from tests.support.functions import HANDLERS
from tests.support.gateway import Service, runs

# It has NumPy and boto3.
NUMPY = {"requirements": [BUNDLE / "requirements" / "worker.txt"], "image": "linear_ec_2"}

WITHIN_S = 30
LOOK = """
import os, random, secrets, signal, ssl, sys, tempfile, threading, time, uuid
libraries = {name for name in ("boto3", "numpy") if name in sys.modules}
import boto3, numpy
at_import = [random.random(), float(numpy.random.random())]
count = 0

def handler(event, context):
    global count
    count += 1
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(float((numpy.ones((300, 300)) @ numpy.ones(300))[0])))
               for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if "meet" in event:
        open(os.path.join(event["meet"], str(os.getpid())), "x").close()
        while len(os.listdir(event["meet"])) < event["count"]: time.sleep(0.01)
    root = os.environ["LAMBDA_TASK_ROOT"]
    return {
        "same": {
            "cwd": os.getcwd() == root, "path": [p.replace(root, "ROOT") for p in sys.path], "argv": sys.argv,
            "orig_argv": [a.replace(root, "ROOT") for a in sys.orig_argv], "flags": list(sys.flags),
            "main": sys.modules["__main__"].__file__,
            "descriptors": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
            "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())
                        if number not in (signal.SIGKILL, signal.SIGSTOP)],
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "umask": os.umask(0o022), "leads": os.getpgid(0) == os.getpid(), "answers": answers,
            "variables": sorted(os.environ), "default_threads": os.environ.get("OPENBLAS_NUM_THREADS"),
            "harness": [name for name in sys.modules if name.startswith("harness")],
            "temporary": tempfile.gettempdir(),
            "stdin": os.readlink("/proc/self/fd/0"), "zone": time.tzname,
            "priority": os.getpriority(os.PRIO_PROCESS, 0),
        },
        "own": [random.random(), float(numpy.random.random()), float(numpy.random.default_rng().random()),
                str(uuid.uuid1()), str(uuid.uuid4()), secrets.token_hex(), ssl.RAND_bytes(8).hex(), os.getpid(),
                os.environ["AWS_LAMBDA_LOG_STREAM_NAME"], os.environ["AWS_ACCESS_KEY_ID"],
                os.environ["AWS_LAMBDA_RUNTIME_API"], *at_import],
        "count": count, "libraries": sorted(libraries), "parent": os.getppid(), "pid": os.getpid(),
    }
"""

END = """
import ctypes, os, signal, sys, threading, time

def handler(event, context):
    match event.get("end"):
        case "exit": sys.exit(4)
        case "signal": os.kill(os.getpid(), event["number"])
        case "crash": ctypes.string_at(0)
        case "thread": threading.Thread(target=os._exit, args=(5,)).start(); time.sleep(20)
        case "told": signal.signal(signal.SIGTERM, lambda *_: os._exit(6)); print("ready", flush=True); time.sleep(20)
        case "child":
            if os.fork() == 0:
                time.sleep(60)
            time.sleep(20)
    return "alive"
"""

# Runs until the file is there, however long that takes.
WAITS = """
import os, time
def handler(event, context):
    while "until" in event and not os.path.exists(event["until"]): time.sleep(0.01)
    return "let go"
"""

LIBRARIES = """
import os, plain, starts_threads, opens_files, fails_at_first

def handler(event, context):
    return {module.__name__: module.pid == os.getpid()
            for module in (plain, starts_threads, opens_files, fails_at_first)}
"""


def test_a_forked_environment_looks_like_a_fresh_one(forked, fresh, write):
    """Paths, arguments, descriptors, signals, variables and threads are the same; only the libraries are older."""
    source = write("look", LOOK)

    ours, theirs = (service.invoke(service.create(source, "look.handler", **NUMPY)) for service in (forked, fresh))

    assert theirs["same"] == ours["same"]
    assert (["boto3", "numpy"], []) == (ours["libraries"], theirs["libraries"])


def test_environments_share_nothing(forked, write, tmp_path):
    """Two environments of one parent have their own random numbers, variables, folders and module state."""
    name = forked.create(write("look", LOOK), "look.handler", **NUMPY)

    first, second = forked.at_once(name, *[meeting(tmp_path)] * 2)

    assert first["parent"] == second["parent"]
    assert [] == [pair for pair in zip(first["own"], second["own"], strict=True) if pair[0] == pair[1]]
    assert (1, 1) == (first["count"], second["count"])
    assert 2 == forked.invoke(name)["count"]


@pytest.mark.parametrize(
    "event",
    [
        {"end": "exit"},
        {"end": "crash"},
        {"end": "thread"},
        {"end": "signal", "number": signal.SIGKILL},
        {"end": "signal", "number": signal.SIGTERM},
        {"end": "signal", "number": signal.SIGABRT},
    ],
    ids=lambda event: "-".join(map(str, event.values())),
)
def test_every_end_is_told_as_of_a_fresh_one(forked, fresh, write, event):
    """After an exit, a crash or a signal, the error is the same, and the next invocation succeeds."""
    source = write("end", END)

    def answers(service):
        name = service.create(source, "end.handler")
        return [re.sub(r"[0-9a-f-]{36}", "ID", json.dumps(service.invoke(name, each))) for each in (event, {})]

    ours = answers(forked)
    assert answers(fresh) == ours
    assert "Runtime.ExitError" in ours[0] or event["end"] == "exit"
    assert '"alive"' == ours[1]


@pytest.mark.parametrize(
    ("behaviour", "event"), [("sleep", {"seconds": 9}), ("fail_on_import", {}), ("raise_error", {})]
)
def test_every_failure_is_told_as_of_a_fresh_one(forked, fresh, behaviour, event):
    """This holds for a timeout, a module that cannot be imported, and an exception with its stack."""

    def answer(service):
        # A start may take more than a second on a busy machine.
        name = service.create(HANDLERS, f"{behaviour}.handler", Timeout=1 if behaviour == "sleep" else 30)
        folder = re.compile(r"/[^\" ]*/functions/[^/]+/[0-9a-f]+|[0-9a-f-]{36}")
        return folder.sub("X", json.dumps(service.invoke(name, event)))

    assert answer(fresh) == answer(forked)


def test_a_library_that_cannot_be_shared_is_left_to_each_environment(forked, write, tmp_path_factory):
    """One that starts a thread, opens a file or fails is imported by the environment, all others by the parent."""
    folder = tmp_path_factory.mktemp("libraries")
    (folder / "plain.py").write_text("import os\npid = os.getpid()")
    (folder / "opens_files.py").write_text("import os\npid = os.getpid()\nheld = open(__file__)")
    (folder / "starts_threads.py").write_text(
        "import os, threading\npid = os.getpid()\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    (folder / "fails_at_first.py").write_text("import os\npid = os.getpid()\nos.environ['AWS_LAMBDA_RUNTIME_API']")
    variables = {"Variables": {"PYTHONPATH": str(folder)}}
    name = forked.create(write("libraries", LIBRARIES), "libraries.handler", Environment=variables)

    assert {"plain": False, "starts_threads": True, "opens_files": True, "fails_at_first": True} == forked.invoke(name)


def test_a_module_in_place_of_a_library_is_found(forked, write):
    """A function whose module has the name of a standard one gets its own, as in a fresh start."""
    write("tempfile", "mine = True")
    source = write("shadow", "import tempfile\ndef handler(event, context):\n    return tempfile.mine")

    assert forked.invoke(forked.create(source, "shadow.handler")) is True


def test_a_signal_reaches_the_handlers_process(forked, write):
    """A signal that RIE sends to its child arrives at the forked process, which may handle it."""
    name = forked.create(write("end", END), "end.handler")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(forked.invoke, name, {"end": "told"})
        rie = the_rie_of(forked, name)
        assert wait_until(lambda: runtime_of(rie) != child_of(rie), WITHIN_S)
        assert wait_until(lambda: handles(runtime_of(rie), signal.SIGTERM), WITHIN_S)
        os.kill(child_of(rie), signal.SIGTERM)

        assert "exit status 6" in answer.result()["errorMessage"]


def test_a_runtime_ends_with_its_rie(forked, write):
    """When RIE is killed, the forked process and its children end, too."""
    name = forked.create(write("end", END), "end.handler")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(forked.invoke, name, {"end": "child"})
        rie = the_rie_of(forked, name)
        assert wait_until(lambda: child_of(runtime_of(rie)), WITHIN_S)
        runtime = runtime_of(rie)
        family = [runtime, child_of(runtime)]
        os.kill(rie, signal.SIGKILL)

        assert "Runtime.ExitError" == answer.result()["errorType"]
    assert wait_until(lambda: not any(map(runs, family)), WITHIN_S)


def test_a_changed_function_lets_its_last_invocation_end(forked, write, tmp_path):
    """Environments of the old revision finish after an update, and their parent ends with the last of them."""
    name = forked.create(write("waits", WAITS), "waits.handler")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(forked.invoke, name, {"until": str(tmp_path / "end")})
        runtime = runtime_of(the_rie_of(forked, name))
        parent = psutil.Process(runtime).ppid()
        forked.clients.functions.update_function_configuration(FunctionName=name, MemorySize=512)

        assert "let go" == forked.invoke(name, {})
        assert not answer.done()
        assert runs(parent)
        (tmp_path / "end").touch()
        assert "let go" == answer.result()
    assert wait_until(lambda: not runs(parent), WITHIN_S)


def test_without_its_parent_a_function_starts_cold(forked, write):
    """When the parent is killed, its runtimes end, and the next environments are fresh ones."""
    name = forked.create(write("look", LOOK), "look.handler", **NUMPY)
    before = forked.invoke(name)
    os.kill(before["parent"], signal.SIGKILL)
    assert wait_until(lambda: not runs(before["pid"]), WITHIN_S)

    answers = [forked.invoke(name) for _ in range(2)]

    assert [] == answers[-1]["libraries"]


def test_nothing_outlives_a_killed_gateway(settings, mode, write, tmp_path):
    """After SIGKILL of the gateway, all RIEs, parents and runtimes end."""
    if mode == "container":
        pytest.skip("environments are forked in process mode only")
    with start_private_stack(settings, s3="moto") as stack:
        service = Service(stack)
        service.at_once(service.create(write("look", LOOK), "look.handler", **NUMPY), *[meeting(tmp_path)] * 2)
        family = [process.pid for process in service.descendants()]
        assert len(family) >= 7  # one parent, and RIE, client and runtime twice

        os.kill(stack.processes["gateway"], signal.SIGKILL)

        assert wait_until(lambda: not any(map(runs, family)), WITHIN_S)


def meeting(folder):
    """Return an event for two invocations, each of which waits until both have come."""
    place = folder / "meeting"
    place.mkdir()
    return {"meet": str(place), "count": 2}


def the_rie_of(service, name):
    """Return the pid of the RIE of a function's only busy environment, after its runtime has started."""

    def found():
        return [
            process.pid
            for process in service.descendants()
            if "aws-lambda-rie" in process.name()
            and process.environ()["AWS_LAMBDA_FUNCTION_NAME"] == name
            and child_of(process.pid)
        ]

    assert wait_until(found, WITHIN_S)
    (pid,) = found()
    assert wait_until(lambda: runtime_of(pid) != child_of(pid), WITHIN_S)
    return pid


def handles(pid, number):
    """Return whether a process has a handler for a signal."""
    caught = re.search(r"SigCgt:\s+([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
