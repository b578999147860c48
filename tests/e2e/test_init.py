"""The projects of `harness init` work at once: README and workflow, followed to the letter, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
