"""A finding's schedule under a debugger: each environment waits for it, also the one after a kill."""

import json
import re
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.support.dap import DebugClient

HANDLER = """
import boto3
def handler(event, context):
    s3 = boto3.client("s3")
    total = int(s3.get_object(Bucket="inbox", Key="total")["Body"].read())
    s3.put_object(Bucket="inbox", Key="total", Body=str(total + 3))
"""
PREPARE = """
def prepare(client):
    client("s3").create_bucket(Bucket="inbox")
    client("s3").put_object(Bucket="inbox", Key="total", Body=b"1")
"""
WRITES = 6
CONNECT = re.compile(r"debugpy: connect to 127\.0\.0\.1:(\d+)")


@pytest.fixture
def project(tmp_path, mode):
    """A function that counts twice, and the file of that finding."""
    if mode != "process":
        pytest.skip("explorations have a stack of their own, of processes")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(HANDLER)
    (tmp_path / "prepare.py").write_text(PREPARE)
    (tmp_path / "harness.toml").write_text('[functions.add]\nsource = "app"\nhandler = "app.handler"\ntimeout_s = 2\n')
    strike = {"delivery": 1, "attempt": 1, "call": 2, "blow": "kill-after"}
    replay = {"function": "add", "event": {}, "prepare": f"{tmp_path}/prepare.py", "schedule": {"strikes": [strike]}}
    (tmp_path / "twice.json").write_text(json.dumps(replay))
    (tmp_path / "at-once.json").write_text(
        '{"function": "add", "event": {}, "schedule": {"second": "overlap", "overlap": {"hold": 2, "until": 0}}}'
    )
    return tmp_path


def test_a_replay_stops_where_an_editor_wants_it_to(project):
    """The retry reads what the attempt that was killed has written."""
    command = [sys.executable, "-m", "harness", "explore", "--replay", "twice.json", "--debug"]
    seen, printed = [], ""
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as replay:
        try:
            for _ in range(2):
                while (found := CONNECT.search(line := replay.stderr.readline())) is None:
                    assert line, f"{seen}: it ended\n{printed}"
                    printed += line
                with DebugClient(int(found[1])) as client:
                    client.attach(
                        {project / "app" / "app.py": [WRITES]},
                        pathMappings=[{"localRoot": str(project / "app"), "remoteRoot": "."}],
                    )
                    seen.append(client.variables(client.stopped()[0])["total"])
                    client.proceed()
                    # The first attempt is killed with its debugger.
                    with suppress(OSError, AssertionError):
                        client.leave()
            pages, errors = replay.communicate(timeout=60)
        finally:
            replay.kill()

    assert seen == ["1", "4"]
    assert '"4"' in pages
    assert '"7"' in pages
    assert replay.returncode == 1, errors


def test_two_deliveries_at_once_are_refused(project):
    """A debugger holds one at a time, so that the other would wait for ever."""
    command = [sys.executable, "-m", "harness", "explore", "--replay", "at-once.json", "--debug"]

    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=60)

    assert run.returncode == 1
    assert "--debug holds one delivery at a time, and at-once.json needs two at once" in run.stderr
