"""`harness dev` in a pseudo-terminal, as a user sees it, and without a terminal."""

import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pexpect
import pytest

from harness.aws.clients import clients_for
from harness.settings import load_settings
from harness.stack import shared_stack

HARNESS = Path(sys.executable).with_name("harness")
WITHIN_S = 60
CODE = """
import time
from pathlib import Path

def handler(event, context):
    print("working on", event)
    if wait_for := event.get("wait_for"):
        Path(event["tell"]).touch()
        deadline = time.monotonic() + 25
        while not Path(wait_for).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    return {"answer": 1, "event": event}
"""
TABLE = '[functions.{0}]\nsource = "{0}"\nhandler = "main.handler"\ntimeout_s = 30\n'
END = r"  ok  [0-9a-f-]{36}  [\d.]+ ms, billed \d+ ms, \d+ of 128 MB, (cold, init \d+ ms|warm)"


@pytest.fixture
def root(project, run_harness):  # noqa: ARG001 - takes the stack down
    """A project of two functions."""
    with (project.root / "harness.toml").open("a") as file:
        for name in ("hello", "other"):
            (project.root / name).mkdir()
            (project.root / name / "main.py").write_text(CODE)
            file.write(TABLE.format(name))
    return project.root


@contextmanager
def developing(root, *arguments, **environment):
    """`harness dev` in a terminal, once it watches; killed after the block if it does not end."""
    env = {**os.environ, "TERM": "xterm", **environment}
    terminal = pexpect.spawn(
        str(HARNESS),
        ["dev", *arguments],
        cwd=str(root),
        env=env,
        timeout=WITHIN_S,
        encoding="utf-8",
        dimensions=(50, 250),
    )
    try:
        terminal.expect("q: quit")
        terminal.delaybeforesend = None
        yield terminal
        terminal.expect(pexpect.EOF)
        terminal.wait()
    finally:
        terminal.close(force=True)


@cache
def client_of(root):
    """Lambda of the project's stack; asked for while harness.toml is in order."""
    return clients_for(shared_stack(load_settings(root)).endpoints).functions


def invoke(root, name, event=None):
    """The decoded answer of an invocation."""
    answer = client_of(root).invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read())


def plain(text):
    """The text without colours, which the name of a function is printed in."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_a_save_is_in_the_next_answer_and_a_broken_one_is_not(root):
    """A syntax error and a broken harness.toml are told, and the old code keeps answering."""
    code = root / "hello" / "main.py"
    with developing(root) as dev:
        assert "created" in plain(dev.before)
        first = invoke(root, "hello", {"number": 1})
        dev.expect("working on {'number': 1}")
        dev.expect("cold, init")
        assert re.search(r"hello  +ok  [0-9a-f-]{36}  [\d.]+ ms, billed \d+ ms, \d+ of 128 MB, ", plain(dev.before))

        code.write_text(CODE.replace('"answer": 1', '"answer": 2'))
        dev.expect(r"updated: code, [\d.]+ s after the save")
        second = invoke(root, "hello")
        dev.expect("cold, init")

        code.write_text(CODE + "def broken(:\n")
        dev.expect(r"main\.py:13: invalid syntax")
        (root / "hello" / "other.py").write_text("x = 1\n")
        dev.expect(r"main\.py:13: invalid syntax")
        third = invoke(root, "hello")
        dev.expect("warm")

        settings = (root / "harness.toml").read_text()
        (root / "harness.toml").write_text(settings + "[functions.\n")
        dev.expect("harness.toml is not TOML")
        fourth = invoke(root, "hello")
        dev.expect("warm")

        code.write_text(CODE.replace('"answer": 1', '"answer": 3'))
        dev.expect("updated: code")
        fifth = invoke(root, "hello")
        (root / "third").mkdir()
        (root / "third" / "main.py").write_text(CODE)
        (root / "harness.toml").write_text(settings.replace("timeout_s = 30", "timeout_s = 29") + TABLE.format("third"))
        dev.expect("updated: Timeout")
        dev.expect("created")
        (root / "third" / "main.py").write_text(CODE + "# changed\n")
        dev.expect("updated: code")
        dev.send("q")

    assert [1, 2, 2, 2, 3] == [one["answer"] for one in (first, second, third, fourth, fifth)]
    assert 0 == dev.exitstatus
    assert "the stack stays up, with its functions; `harness down` stops it" in dev.before
    assert shared_stack(load_settings(root)) is not None


def test_a_folder_that_is_moved_away_is_told_once(root):
    """The same holds for harness.toml: functions stay as they are until it is back."""
    with developing(root) as dev:
        (root / "hello").rename(root / "away")
        dev.expect("hello does not exist")
        (root / "harness.toml").rename(root / "away.toml")
        dev.expect("harness.toml is gone; functions stay as they are")
        said = dev.before
        (root / "away.toml").rename(root / "harness.toml")
        (root / "away").rename(root / "hello")
        (root / "hello" / "main.py").write_text(CODE.replace('"answer": 1', '"answer": 2'))
        dev.expect("updated: code")
        said += dev.before
        dev.send("q")

    assert "does not exist" not in said
    assert "created" not in said


def test_code_that_another_command_deploys_is_told(root, run_harness):
    """`harness invoke` deploys what is saved, as it always does, also what the loop has refused; once is enough."""
    with developing(root, "hello") as dev:
        (root / "hello" / "main.py").write_text("def handler(:\n")
        dev.expect(r"main\.py:1: invalid syntax")
        assert 1 == run_harness("invoke", "hello").returncode
        dev.expect("updated: code, by another command")
        dev.expect("Runtime.UserCodeSyntaxError")
        (root / "hello" / "main.py").write_text(CODE.replace('"answer": 1', '"answer": 2'))
        dev.expect("updated: code")
        mended = invoke(root, "hello")
        dev.expect("cold, init")
        said = dev.before
        dev.send("q")

    assert 2 == mended["answer"]
    assert "by another command" not in said


def test_an_invocation_in_progress_ends_on_the_old_code(root, tmp_path):
    """No invocation is lost by a save; what goes on is said at the end."""
    events = [{"tell": str(tmp_path / f"began{n}"), "wait_for": str(tmp_path / f"go{n}")} for n in (1, 2)]
    with developing(root, "hello") as dev, ThreadPoolExecutor() as pool:
        assert "other" not in plain(dev.before)
        slow = pool.submit(invoke, root, "hello", events[0])
        dev.expect("working on")
        (root / "hello" / "main.py").write_text(CODE.replace('"answer": 1', '"answer": 2'))
        dev.expect("updated: code")
        quick = invoke(root, "hello")
        dev.expect("cold, init")
        (tmp_path / "go1").touch()
        assert (1, 2) == (slow.result(WITHIN_S)["answer"], quick["answer"])

        unfinished = pool.submit(invoke, root, "hello", events[1])
        dev.expect("working on")
        dev.sendintr()
        dev.expect("in progress, and going on: 1 invocation")
        dev.expect("the stack stays up")
        dev.expect("interrupted")
        (tmp_path / "go2").touch()
        assert 2 == unfinished.result(WITHIN_S)["answer"]

    assert 130 == dev.exitstatus


def test_past_invocations_are_repeated_with_their_event_or_an_edited_one(root, tmp_path):
    """The editor has the terminal to itself; what is not JSON is kept for the next attempt."""
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\nstty -a | grep -q " icanon" || exit 3\ncat "$1" >> seen\nsed -i s/first/edited/ "$1"\n'
    )
    editor.chmod(0o700)
    with developing(root, "hello", EDITOR=str(editor)) as dev:
        modes = termios.tcgetattr(dev.child_fd)
        dev.send("r")
        dev.expect("nothing was invoked yet")
        invoke(root, "hello", {"name": "first", "number": 1})
        dev.expect("cold, init")
        dev.send("r")
        dev.expect("invoked again")
        dev.expect(r"""answered: \{"answer": 1, "event": \{"name": "first", "number": 1\}\}""")

        dev.send("l")
        dev.expect(r"""2  [\d:]{8}  hello  ok  [\d.]+ ms  \{"name": "first", "number": 1\}""")
        dev.expect("press a number")
        dev.send("9")
        dev.expect("there is no invocation 9")
        dev.send("2")
        dev.expect(r"""answered: \{"answer": 1, "event": \{"name": "edited", "number": 1\}\}""")
        assert '{\n  "name": "first",\n  "number": 1\n}\n' == (root / "seen").read_text()

        editor.write_text('#!/bin/sh\necho "not JSON" >> "$1"\n')
        dev.send("1")
        dev.expect("the event is not JSON")
        editor.write_text('#!/bin/sh\ncp "$1" seen\necho 7 > "$1"\n')
        dev.send("1")
        dev.expect(r"answered: \{.*AttributeError|failed: .*AttributeError")
        assert "not JSON" in (root / "seen").read_text()
        editor.write_text("#!/bin/sh\nexit 1\n")
        dev.send("1")
        dev.expect("nothing was invoked: the editor failed")
        editor.write_text("#!/no/such/interpreter\n")
        dev.send("1")
        dev.expect("Editing failed")
        dev.expect("set EDITOR")
        editor.write_text('#!/bin/sh\n: > "$1"\n')
        dev.send("1")
        dev.expect("nothing was invoked: the event is empty")

        assert modes == termios.tcgetattr(dev.child_fd)
        dev.send("?")
        dev.expect("q: quit")
        dev.send("q")
        dev.expect("the stack stays up")
        dev.expect(pexpect.EOF)
        assert 0 == dev.wait()
        after = termios.tcgetattr(dev.child_fd)[3]
        assert after & termios.ICANON
        assert after & termios.ECHO


def test_a_closed_terminal_takes_the_file_of_an_open_editor_along(root, tmp_path):
    """The event may be secret."""
    editor, temporary, opened = tmp_path / "editor", tmp_path / "temporary", tmp_path / "opened"
    temporary.mkdir()
    os.mkfifo(opened)
    os.mkfifo(tmp_path / "never")
    editor.write_text(f'#!/bin/sh\necho "$1" > {opened}\nexec cat {tmp_path / "never"}\n')
    editor.chmod(0o700)
    with developing(root, "hello", EDITOR=str(editor), TMPDIR=str(temporary)) as dev:
        invoke(root, "hello")
        dev.expect("cold, init")
        dev.send("1")
        file = Path(opened.read_text().strip())
        existed = file.exists()
        dev.kill(signal.SIGHUP)

    assert existed
    assert file.is_relative_to(temporary)
    assert not file.parent.exists()


def test_the_end_of_the_stack_ends_it(root, run_harness):
    """With one clear error."""
    with developing(root) as dev:
        assert 0 == run_harness("down").returncode
        dev.expect("the stack was stopped")
        said = plain(dev.before)

    assert "the stack stays up" not in said
    assert 1 == dev.exitstatus


def test_without_a_terminal_it_is_a_plain_log(root):
    """No colours and no keys; a signal ends it."""
    command = [HARNESS, "dev", "hello"]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as dev:
        watchdog = threading.Timer(WITHIN_S, dev.kill)
        watchdog.start()
        notes = []
        while not notes or "Ctrl-C ends this" not in notes[-1]:
            notes.append(dev.stderr.readline())
            assert notes[-1], notes
        invoke(root, "hello", {"number": 1})
        lines = [dev.stdout.readline(), dev.stdout.readline()]
        dev.send_signal(signal.SIGTERM)
        output, errors = dev.communicate()
        watchdog.cancel()

    assert "hello  working on {'number': 1}\n" == lines[0]
    assert re.fullmatch("hello" + END + "\n", lines[1])
    assert ("", 143) == (output, dev.returncode)
    assert "the stack stays up" in errors
    assert "\x1b" not in "".join([*notes, *lines, errors])
