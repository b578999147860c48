"""Debugging one worker: the same event again and again, by the gateway and by one RIE in the user's terminal."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from harness.system.process_identity import reserved_ports
from tests.support.gateway import runs
from tests.support.terminal import WITHIN_S, in_terminal

ROOT = Path(__file__).parents[2]
HARNESS = Path(sys.executable).with_name("harness")
HANDLER = """
import subprocess

def handler(event, context):
    if event == "fail":
        raise ValueError("broken")
    if event == "child":
        return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
    breakpoint()
    return event
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a stack that is up: the clone's worker, and a function of its own."""
    root = tmp_path_factory.mktemp("project")
    (root / "app").mkdir()
    (root / "app" / "app.py").write_text(HANDLER)
    (root / "harness.toml").write_text(
        '[stack]\ns3 = "moto"\n'
        '[functions.hello]\nsource = "app"\nhandler = "app.handler"\ntimeout_s = 60\n'
        f'[functions.linear_ec_2]\nsource = "{ROOT}/lambdas/worker"\ninclude = ["{ROOT}/lambdas/training"]\n'
        f'handler = "linear_ec_2.handler"\nimage = "linear_ec_2"\n'
        f'requirements = "{ROOT}/requirements/worker.txt"\nmemory_mb = 1769\ntimeout_s = 60\n'
    )
    subprocess.run([HARNESS, "up"], cwd=root, check=True, capture_output=True)
    yield root
    subprocess.run([HARNESS, "down"], cwd=root, check=True, capture_output=True)


def rie(project, function, port, *flags):
    """`harness rie` in a terminal."""
    return in_terminal([HARNESS, "rie", function, "--port", port, *flags], project)


def post(port, event):
    """What RIE answers."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    with urllib.request.urlopen(url, data=json.dumps(event).encode(), timeout=WITHIN_S) as answer:
        return json.loads(answer.read())


def answer_of(port, event):
    """The answer to an invocation that goes on meanwhile, as a function."""
    answers = []

    def ask():
        with suppress(OSError):  # RIE is ended
            answers.append(post(port, event))

    thread = threading.Thread(target=ask)
    thread.start()

    def wait():
        thread.join(WITHIN_S)
        return answers[0]

    return wait


def test_a_breakpoint_stops_in_the_terminal(project):
    """What is typed reaches the debugger, errors keep their lines, and Ctrl-C ends all, children too."""
    with reserved_ports(1) as [port], rie(project, "hello", port) as terminal:
        terminal.wait_for("listens at ")
        with socket.create_connection(("127.0.0.1", port)):
            pass  # it does
        answer = answer_of(port, {"x": 42})
        terminal.wait_for("(Pdb)")
        terminal.type("event['x'] + 1\n")
        terminal.wait_for("43")
        terminal.type("continue\n")
        assert {"x": 42} == answer()

        terminal.type("")
        assert "ValueError" == post(port, "fail")["errorType"]
        terminal.wait_for("ValueError: broken\r\n")
        assert re.search(r"^.ERROR. ValueError: broken\r?$", terminal.text, re.MULTILINE)
        assert not re.search(r"\r[^\r\n]", terminal.text), "lines overwrite one another"

        child = post(port, "child")
        answer_of(port, {})  # which never comes
        terminal.wait_for("(Pdb)")
        assert 130 == terminal.end(lambda: terminal.type("\x03"))
        assert not runs(child)
        assert "Traceback" not in terminal.text


def test_a_post_mortem_opens_in_the_terminal(project):
    """At the line that raised; the invocation then fails as ever, and the next one runs."""
    with reserved_ports(1) as [port], rie(project, "hello", port, "--pdb") as terminal:
        terminal.wait_for("listens at ")
        answer = answer_of(port, "fail")
        terminal.wait_for("(Pdb)")
        assert f"{project}/app/app.py(6)handler()" in terminal.text
        terminal.type("p event\n")
        terminal.wait_for("'fail'")
        terminal.type("q\n")
        assert "ValueError" == answer()["errorType"]
        answer = answer_of(port, 1)
        terminal.wait_for("(Pdb)")
        terminal.type("continue\n")
        assert 1 == answer()
        assert 130 == terminal.end(lambda: terminal.type("\x03"))


def test_a_port_that_is_taken_is_told_before_anything_starts(project):
    """One error with the remedy, and no word of listening."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = subprocess.run(
            [HARNESS, "rie", "hello", "--port", port], cwd=project, capture_output=True, text=True, check=False
        )

    assert 1 == done.returncode
    assert f"error: cannot listen on port {port}: Address already in use" == done.stderr.splitlines()[0]
    assert "listens" not in done.stderr


def test_one_event_trains_a_worker_again_and_again(project):
    """By `harness invoke` and by RIE: each invocation is a run of its own; SIGTERM then ends RIE and its runtime."""
    script = ROOT / "fixtures" / "save_1_worker_output.py"
    event = project / "event.json"
    saved = [sys.executable, script, "--data", "synthetic:rows=200,features=3", "--output", event]
    subprocess.run(saved, cwd=project, check=True, capture_output=True)

    invoke = [HARNESS, "invoke", "linear_ec_2", "--event", event]
    printed = [subprocess.run(invoke, cwd=project, check=True, capture_output=True).stdout for _ in range(2)]
    answers = [json.loads(text) for text in printed]
    with reserved_ports(1) as [port], rie(project, "linear_ec_2", port) as terminal:
        terminal.wait_for("listens at ")
        answers += [post(port, json.loads(event.read_text())) for _ in range(2)]
        assert 143 == terminal.end(lambda: terminal.process.send_signal(signal.SIGTERM))

    assert [{"run_id", "rank"}] * 4 == [set(answer["body"]) for answer in answers]
    assert 4 == len({answer["body"]["run_id"] for answer in answers})
