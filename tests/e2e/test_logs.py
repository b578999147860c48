"""The logs of functions as a user reads them."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HARNESS = Path(sys.executable).with_name("harness")
WITHIN_S = 60
CODE = """
import json

def handler(event, context):
    print("an early line of", event)
    print(json.dumps({"event": "started", "rank": event["rank"]}))
    print("a late line of", event)
"""


@pytest.fixture
def up(run_harness, project):
    """A project of two functions on a stack."""
    (project.root / "work").mkdir()
    (project.root / "work" / "main.py").write_text(CODE)
    with (project.root / "harness.toml").open("a") as file:
        for name in ("first", "second"):
            file.write(f'[functions.{name}]\nsource = "work"\nhandler = "main.handler"\ntimeout_s = 30\n')
    assert 0 == run_harness("up").returncode

    def invoke(name, rank):
        assert 0 == run_harness("invoke", name, "--payload", json.dumps({"rank": rank})).returncode

    return invoke


def test_lines_are_selected_by_function_rank_and_pattern(run_harness, up):
    """Without a name, all functions' lines are printed, each with its function's name."""
    up("first", 0)
    up("first", 1)
    up("second", 1)

    everything = run_harness("logs").stdout.splitlines()
    of_rank_1 = run_harness("logs", "first", "--rank", "1").stdout
    filtered = run_harness(
        "logs", "first", "second", "--filter", "^a(n early| late) line", "--rank", "0", "--rank", "1"
    ).stdout

    objects = [json.loads(line) for line in run_harness("logs", "--json").stdout.splitlines()]
    assert {"first", "second"} == {one["function"] for one in objects}
    assert any("early line of {'rank': 1}" in one["text"] for one in objects)
    assert all(1e9 < one["at"] < 1e10 for one in objects)

    assert {"first", "second"} == {line.split()[0] for line in everything}
    assert 3 == sum("REPORT RequestId" in line for line in everything)
    assert "early line of {'rank': 1}" in of_rank_1
    assert "REPORT RequestId" in of_rank_1
    assert "'rank': 0" not in of_rank_1
    assert 6 == len(filtered.splitlines())
    assert "" == run_harness("logs", "--since", "0").stdout


def test_new_lines_are_followed_until_ctrl_c(project, up):
    """Also those of a function that is created only now."""
    command = [HARNESS, "logs", "--follow", "--filter", "late line"]
    with subprocess.Popen(
        command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(WITHIN_S, process.kill)
        watchdog.start()
        up("second", 7)
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        watchdog.cancel()

    assert "second  " == line[:8], errors
    assert "a late line of {'rank': 7}" in line
    assert (130, "interrupted") == (process.returncode, errors.strip())
