"""The projects of `harness init` work at once: README and workflow, followed to the letter, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pexpect
import pytest
import yaml

from tests.support.dap import DebugClient
from tests.support.documents import blocks_of, run_script, script_of

BIN = Path(sys.executable).parent
WITHIN_S = 240

# What a reader sees beside the absence of errors.
SEEN = {
    "function": ['{"message": "Hello, Ada!"}', "greeting Ada"],
    "pipeline": ['"totals": {"apples": 7, "pears": 5}', "published monday.csv"],
    "training": ["succeeded", "kill rank=1 round=10"],
}


def steps_of(workflow):
    """The commands of a workflow but for pip's, which has made the environment of this test."""
    steps = yaml.safe_load(workflow.read_text())["jobs"]["test"]["steps"]
    return [step["run"] for step in steps if "run" in step and not step["run"].startswith("pip ")]


@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize("template", ["function", "pipeline", pytest.param("training", marks=pytest.mark.slow)])
def test_a_new_project_works_as_its_readme_says(template, tmp_path, mode):
    """A stack, an invocation or a run, and the project's own tests."""
    if mode != "process":
        pytest.skip("these commands are for process mode")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    made = subprocess.run(
        [BIN / "harness", "init", "--template", template], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    blocks = [block for block in blocks_of(tmp_path / "README.md") if block.kind == "sh"]
    workflow = steps_of(tmp_path / ".github/workflows/test.yml")
    assert workflow[-1] == blocks[-1].text.splitlines()[-1] == "pytest"
    path = {"PATH": f"{BIN}:{os.environ['PATH']}"}

    # Both end with the project's tests, which need not run twice.
    script = "\n".join([script_of(blocks, ("pytest",)), *workflow])
    code, printed = run_script(script, tmp_path, WITHIN_S, variables=path)

    assert 0 == code, printed[-4000:]
    assert " 2 passed" in printed
    assert all(words in printed for words in SEEN[template]), printed


def test_a_debugger_attaches_by_the_projects_configuration(tmp_path, mode):
    """A breakpoint in the project's own file is hit, whatever the port."""
    if mode != "process":
        pytest.skip("the commands are those of process mode")
    harness = [BIN / "harness"]
    subprocess.run([*harness, "init"], cwd=tmp_path, check=True, capture_output=True)
    (entry,) = json.loads((tmp_path / ".vscode/launch.json").read_text())["configurations"]
    mappings = [
        {**pair, "localRoot": pair["localRoot"].replace("${workspaceFolder}", str(tmp_path))}
        for pair in entry["pathMappings"]
    ]
    file = tmp_path / "hello" / "app.py"
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "return" in text)
    try:
        subprocess.run([*harness, "up"], cwd=tmp_path, check=True, capture_output=True)
        command = [*harness, "invoke", "hello", "--event", "events/hello.json", "--debug"]
        invocation = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with closing(invocation.stdout), closing(invocation.stderr):
            printed = next(text for text in invocation.stderr if "connect to" in text)
            with DebugClient(int(re.search(r":(\d+);", printed)[1])) as client:
                client.attach({file: [line]}, pathMappings=mappings, justMyCode=entry["justMyCode"])
                innermost, *_ = client.stopped()
                name = client.variables(innermost)["name"]
                client.proceed()
                answer, _ = invocation.communicate(timeout=WITHIN_S)
    finally:
        subprocess.run([*harness, "down"], cwd=tmp_path, check=True, capture_output=True)

    assert (str(file), line) == (innermost["source"]["path"], innermost["line"])
    assert "'Ada'" == name
    assert {"message": "Hello, Ada!"} == json.loads(answer)


def test_a_new_project_is_edited_live(tmp_path, mode):
    """`harness init . && harness dev` in a terminal: after an edit, the last event gets the new answer."""
    if mode != "process":
        pytest.skip("the commands are those of process mode")
    harness = BIN / "harness"
    line = f"{harness} init . && {harness} dev"
    terminal = pexpect.spawn("bash", ["--norc", "-c", line], cwd=tmp_path, timeout=60, dimensions=(40, 160))
    try:
        terminal.expect_exact("watching hello")
        invoke = [harness, "invoke", "hello", "--event", "events/hello.json"]
        first = subprocess.run(invoke, cwd=tmp_path, check=True, capture_output=True, text=True)
        terminal.expect("hello.*ok")
        file = tmp_path / "hello" / "app.py"
        file.write_text(file.read_text().replace("Hello,", "Bonjour,"))
        terminal.expect_exact("updated")
        terminal.send("r")
        terminal.expect_exact('answered: {"message": "Bonjour, Ada!"}')
        terminal.send("q")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
        subprocess.run([harness, "down"], cwd=tmp_path, check=True, capture_output=True)

    assert {"message": "Hello, Ada!"} == json.loads(first.stdout)
