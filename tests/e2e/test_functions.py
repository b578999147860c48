"""Functions that are made without being invoked, and those that another function calls."""

import json

import pytest

CALLER = """
import boto3

def handler(event, context):
    answer = boto3.client("lambda").invoke(FunctionName="callee", Payload=b"{}")
    return answer["Payload"].read().decode()
"""
CALLEE = "def handler(event, context):\n    return {'answer': 1}\n"


@pytest.fixture
def project(project):
    """A project of two functions, one of which calls the other."""
    for name, code in {"caller": CALLER, "callee": CALLEE}.items():
        (project.root / name).mkdir()
        (project.root / name / "main.py").write_text(code)
    with (project.root / "harness.toml").open("a") as file:
        for name in ("caller", "callee"):
            file.write(f'[functions.{name}]\nsource = "{name}"\nhandler = "main.handler"\ntimeout_s = 30\n')
    return project


def test_an_invocation_creates_what_the_function_calls(run_harness):
    """The callee is declared in harness.toml, and nobody has created it."""
    assert 0 == run_harness("up").returncode

    answer = run_harness("invoke", "caller")

    assert 0 == answer.returncode, answer.stderr
    assert {"answer": 1} == json.loads(json.loads(answer.stdout))


def test_functions_are_created_updated_and_listed(run_harness, project):
    """Without an invocation; a function that cannot be made does not keep others from it."""

    def states():
        return {
            one["name"]: (one["state"], one["differs"])
            for one in json.loads(run_harness("functions", "list", "--json").stdout)
        }

    assert "run `harness up` first" in run_harness("functions", "create").stderr
    assert 0 == run_harness("up").returncode
    assert {"caller": ("missing", []), "callee": ("missing", [])} == states()
    assert "not on the stack" in run_harness("functions", "update", "callee").stderr
    assert "create them with" in run_harness("functions", "update").stderr

    assert "callee  created\n" == run_harness("functions", "create", "callee").stdout
    assert {"caller": ("missing", []), "callee": ("current", [])} == states()

    (project.root / "callee" / "main.py").write_text(CALLEE + "# changed\n")
    assert ("outdated", ["Code"]) == states()["callee"]
    assert "callee  updated: code\n" == run_harness("functions", "update").stdout
    assert "caller  created\ncallee  unchanged\n" == run_harness("functions", "create").stdout

    (project.root / "caller" / "main.py").unlink()
    failed = run_harness("functions", "create")
    assert (1, "callee  unchanged\n") == (failed.returncode, failed.stdout)
    assert "error: caller: " in failed.stderr
    assert "Traceback" not in failed.stderr
