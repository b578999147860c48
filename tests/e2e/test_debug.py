"""Debuggers: an editor's client stops a rank of a run, or a function; a post-mortem opens in the terminal."""

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from harness.system.probes import wait_until
from tests.support.dap import DebugClient
from tests.support.terminal import in_terminal

ROOT = Path(__file__).parents[2]
HARNESS = Path(sys.executable).with_name("harness")
WITHIN_S = 60.0
HANDLER = """
import helper
at_import = helper.double(21)
def handler(event, context):
    found = helper.double(event["number"])
    return {"found": found, "at_import": at_import, "left_s": context.get_remaining_time_in_millis() / 1e3}
"""
HELPER = """
import json
def double(number):
    return 2 * number
def parse(text):
    secret = "of the library's caller"
    return json.loads(text)
"""
BROKEN = """
import helper
def handler(event, context):
    given = event["text"]
    return helper.parse(given)
"""
TRAIN = ROOT / "lambdas" / "training" / "algorithm" / "gradient_averaging.py"
RUN = ("run", "--data", "synthetic:rows=900,features=5", "--n-workers", "3", "--n-epochs", "2", "--seed", "1", "--json")

# With the whole entry for launch.json.
CONNECT = re.compile(r"debugpy: connect to 127\.0\.0\.1:(\d+);.*\n(?s:.*)^}$", re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a stack that is up, and two functions; a run takes those that the harness ships."""
    root = tmp_path_factory.mktemp("project")
    for folder, handler in {"app": HANDLER, "bad": BROKEN}.items():
        (root / folder).mkdir()
        (root / folder / f"{folder}.py").write_text(handler)
        (root / folder / "helper.py").write_text(HELPER)
    (root / "harness.toml").write_text(
        '[stack]\ns3 = "moto"\n'
        '[functions.hello]\nsource = "app"\nhandler = "app.handler"\ntimeout_s = 2\n'
        '[functions.broken]\nsource = "bad"\nhandler = "bad.handler"\ntimeout_s = 2\n'
    )
    subprocess.run([HARNESS, "up"], cwd=root, check=True, capture_output=True)
    yield root
    subprocess.run([HARNESS, "down"], cwd=root, check=True, capture_output=True)


@contextmanager
def started(project, *arguments):
    """A command that goes on; it is killed after the block if it still runs."""
    process = subprocess.Popen(
        [HARNESS, *arguments],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def debugged(project, *arguments):
    """A command, once a debugger may connect; with the port and what it printed until then."""
    with started(project, *arguments) as process:
        yield process, *read_until(process, CONNECT)


def read_until(process, pattern):
    """Reads a command's errors until they match; returns the port in them, and all of them."""
    printed = ""
    while (found := pattern.search(printed)) is None:
        line = process.stderr.readline()
        printed += line
        assert line, f"it ended: {printed}"
        assert "ran without a debugger" not in line, printed
    return int(found[1]) if found.lastindex else 0, printed


def line_of(path, text):
    """The number of the only line that holds the text."""
    (number,) = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return number


def debuggers():
    """Debugpy's processes on this machine, by the port at which an editor may connect."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return {line[line.index("--port") + 1] for line in found if any("debugpy/adapter" in part for part in line)}


def test_a_breakpoint_in_one_rank_changes_nothing(project):
    """Rank 1 stops in the user's file, its variables are read, and the model is the same as undisturbed."""
    undisturbed = json.loads(subprocess.run([HARNESS, *RUN], cwd=project, check=True, capture_output=True).stdout)
    line = line_of(TRAIN, "parameters, slots = steps.take")

    with debugged(project, *RUN, "--debug", "rank=1") as (run, port, printed), DebugClient(port) as client:
        client.attach({TRAIN: [line]})
        innermost, *_ = client.stopped()
        job = client.variables(innermost)["job"]
        client.request("setBreakpoints", source={"path": str(TRAIN)}, breakpoints=[])
        client.proceed()
        output, errors = run.communicate(timeout=WITHIN_S)

    assert (str(TRAIN), line) == (innermost["source"]["path"], innermost["line"])
    assert "worker_index=1" in job
    assert "round_timeout_s=86400" in job
    assert 0 == run.returncode, errors
    assert undisturbed["model"]["sha256"] == json.loads(output)["model"]["sha256"]
    assert "time limits are lifted for this run, to 24 h" in printed
    assert "a debugger is attached to rank 1" in errors


def test_nobody_takes_a_held_rank_over(project):
    """A second delivery of its event waits, though the lease's heartbeat stands still; the rank has one attempt."""
    twice = ("--fault", "duplicate rank=1")
    line = line_of(TRAIN, "parameters, slots = steps.take")

    with debugged(project, *RUN, *twice, "--debug", "rank=1") as (run, port, _), DebugClient(port) as client:
        client.attach({TRAIN: [line]})
        client.stopped()
        client.request("setBreakpoints", source={"path": str(TRAIN)}, breakpoints=[])
        # Printed after 5 s without progress: four times what a lease may stand still.
        while "waiting for the debugger at 127.0.0.1" not in (printed := run.stderr.readline()):
            assert printed, "the run ended"
        client.proceed()
        output, errors = run.communicate(timeout=WITHIN_S)

    assert 0 == run.returncode, errors
    summary = json.loads(output)
    assert [1] == [fault["times"] for fault in summary["events"] if fault["event"] == "fault"]
    assert {1} == {worker["attempts"] for worker in summary["workers"]}
    assert str(port) not in debuggers()


def test_code_that_runs_at_import_can_be_stopped(project):
    """The function waits before its module is imported, longer than its time limit, and sees no trace of the wait."""
    app, helper = project / "app" / "app.py", project / "app" / "helper.py"
    at_import, in_handler = line_of(app, "at_import = "), line_of(app, "found = ")
    invoke = ("invoke", "hello", "--payload", '{"number": 4}', "--debug")

    with debugged(project, *invoke) as (command, port, printed), DebugClient(port) as client:
        configuration = json.loads(printed[printed.index("{\n") :])
        client.attach({app: [at_import, in_handler], helper: [4]}, pathMappings=[])
        seen = []
        for _ in range(4):
            frame, *_ = client.stopped()
            seen.append((Path(frame["source"]["path"]).name, frame["line"]))
            client.proceed()
        output, _ = command.communicate(timeout=WITHIN_S)

    assert [("app.py", at_import), ("helper.py", 4), ("app.py", in_handler), ("helper.py", 4)] == seen
    answer = json.loads(output)
    assert {"found": 8, "at_import": 42} == {key: answer[key] for key in ("found", "at_import")}
    assert answer["left_s"] > 1000
    assert {"host": "127.0.0.1", "port": port} == configuration["connect"]
    assert [{"localRoot": "${workspaceFolder}/app", "remoteRoot": "."}] == configuration["pathMappings"]


def test_what_the_editor_is_told_to_map_is_right(project):
    """The path mappings of the printed configuration stop in the user's file."""
    app = project / "app" / "app.py"
    line = line_of(app, "found = ")

    with (
        debugged(project, "invoke", "hello", "--payload", '{"number": 4}', "--debug") as (command, port, printed),
        DebugClient(port) as client,
    ):
        configuration = json.loads(printed[printed.index("{\n") :].replace("${workspaceFolder}", str(project)))
        client.attach({app: [line]}, **configuration)
        frame, *_ = client.stopped()
        client.leave()
        output, _ = command.communicate(timeout=WITHIN_S)

    assert (str(app), line) == (frame["source"]["path"], frame["line"])
    assert 8 == json.loads(output)["found"]


@pytest.mark.parametrize("arguments", [("invoke", "hello", "--debug"), (*RUN, "--debug", "rank=1")])
def test_nobody_attaches(project, arguments):
    """Ctrl-C ends the command and what waited for the debugger; the stack stays up."""
    with debugged(project, *arguments) as (command, port, _):
        assert str(port) in debuggers()
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=WITHIN_S)

    assert 130 == command.returncode, errors
    assert "Traceback" not in errors
    assert str(port) not in debuggers()
    answer = subprocess.run([HARNESS, "invoke", "hello", "--payload", '{"number": 1}'], cwd=project, check=True)
    assert 0 == answer.returncode


def test_a_command_that_is_killed_leaves_no_debugger(project):
    """Nobody else would ever end an invocation without a time limit."""
    with debugged(project, "invoke", "hello", "--debug") as (command, port, _):
        command.kill()
        assert wait_until(lambda: str(port) not in debuggers(), WITHIN_S)


def test_the_development_loop_lets_a_function_wait(project):
    """Each invocation that comes meanwhile waits for a debugger, with the code as it was saved; the end leaves none."""
    app, seen = project / "app" / "app.py", []
    with started(project, "dev", "hello", "--debug", "hello") as loop:
        read_until(loop, re.compile("hello waits for a debugger when it is invoked"))
        for text in (app.read_text(), "# a line more\n" + app.read_text()):
            if text != app.read_text():
                app.write_text(text)
                read_until(loop, re.compile("hello .*updated: code"))
            with started(project, "invoke", "hello", "--payload", '{"number": 4}') as command:
                port, _ = read_until(loop, CONNECT)
                with DebugClient(port) as client:
                    client.attach({app: [line_of(app, "found = ")]})
                    frame, *_ = client.stopped()
                    client.leave()
                output, errors = command.communicate(timeout=WITHIN_S)
            assert 8 == json.loads(output)["found"], errors
            seen.append((frame["source"]["path"], frame["line"]))
        loop.send_signal(signal.SIGINT)
        loop.communicate(timeout=WITHIN_S)

    assert [(str(app), 5), (str(app), 6)] == seen
    assert str(port) not in debuggers()


def test_a_port_that_is_taken(project):
    """It is refused before anything is invoked, and the default is another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [HARNESS, "invoke", "hello", "--debug", "--debug-port", port],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )

    assert 1 == done.returncode
    assert done.stderr.startswith(f"error: port {port} for the debugger is taken")


def test_a_post_mortem_opens_where_the_users_code_is(project):
    """Not in the library that raised; variables can be read, the answer comes afterwards."""
    command = [HARNESS, "invoke", "broken", "--payload", '{"text": "no JSON"}', "--pdb"]
    with in_terminal(command, project) as terminal:
        terminal.wait_for("(Pdb) ")
        first = terminal.text
        terminal.type("p secret\n")
        terminal.wait_for("of the library's caller")
        terminal.wait_for("(Pdb) ")
        terminal.type("up\n")
        terminal.wait_for("(Pdb) ")
        above = terminal.text
        terminal.type("p given\n")
        terminal.wait_for("'no JSON'")
        terminal.wait_for("(Pdb) ")
        assert 1 == terminal.end(lambda: terminal.type("q\n"))

    assert "JSONDecodeError: Expecting value" in first
    assert f"{project}/bad/helper.py(7)parse()" in first
    assert f"{project}/bad/bad.py(5)handler()" in above
    assert '"errorType": "JSONDecodeError"' in terminal.text
    assert "runtime/debugger.py" not in terminal.text


def test_a_post_mortem_needs_a_terminal(project):
    """One error, and nothing is invoked."""
    done = subprocess.run(
        [HARNESS, "invoke", "broken", "--pdb"],
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode
    assert done.stderr.startswith("error: --pdb needs a terminal")
