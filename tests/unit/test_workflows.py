"""What runs on every change and every night: the gate, its workflow and the versions of Python."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GATE = (ROOT / ".ci" / "run").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def jobs_of(name: str):
    """Return the jobs of a workflow."""
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"]


def commands_of(job) -> list[str]:
    """Return the commands of a job, in order."""
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_workflow_runs_the_gate():
    """GitHub runs what a developer runs; no second list of targets can fall behind."""
    assert [".ci/run"] == commands_of(jobs_of("ci")["check"])


@pytest.mark.parametrize("target", ["lint", "test-local", "simulate", "e2e-emulator", "test-containers"])
def test_the_gate_runs_each_target(target):
    """Every change must pass this target, so `.ci/run` calls it."""
    assert re.search(rf"^[^#\n]*\bmake {target}\b", GATE, re.MULTILINE)


def test_what_the_gate_leaves_out_runs_every_night():
    """The nightly workflow selects the slow tests, every fault and all schedules."""
    recipe = MAKEFILE.split("\nnightly:")[1].split("\n\n")[0]

    assert ["make nightly", "make test-containers ARGS='-m slow'"] == commands_of(jobs_of("nightly")["slow"])
    assert '-m "slow and not faults and not containers" tests\n' in recipe
    assert recipe.endswith("test-faults simulate")


def test_each_version_of_python_that_is_named_is_tested():
    """The classifiers, tox and the nightly matrix list the same versions."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(classifiers))
    environments = re.search(r"py\{([\d,]+)\}", (ROOT / "tox.ini").read_text())

    assert named == jobs_of("nightly")["python"]["strategy"]["matrix"]["python"]
    assert environments
    assert [version.replace(".", "") for version in named] == environments[1].split(",")


def test_a_release_is_tested_before_it_is_published():
    """One build is checked, attested and published; only the last job but one may speak to PyPI, without a token."""
    jobs = jobs_of("release")
    commands = "\n".join(commands_of(jobs["build"]))

    assert "tests/e2e/test_installed.py" in commands
    assert "hatchling version" in commands
    assert any("attest-build-provenance" in step.get("uses", "") for step in jobs["build"]["steps"])
    assert "build" == jobs["publish"]["needs"]
    assert {"id-token": "write"} == jobs["publish"]["permissions"]
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path):
    """A tag can be moved to other code, a commit cannot."""
    used = re.findall(r"uses: (\S+)", path.read_text())

    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []
