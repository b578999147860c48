"""The examples of docs/examples: each is a project of its own, whose tests pass with the installed wheel alone."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.support.installed import ROOT, build_wheel, install_wheel

EXAMPLES = ROOT / "docs" / "examples"
WITHIN_S = 300
# How many tests each has; the gate runs the one that shows most of the plug-in.
TESTS = {"retries": 6, "fan-out": 3, "s3-to-sqs": 3, "training": 2, "explore": 3}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment in which the wheel of this clone is installed."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    return install_wheel(wheel, tmp_path_factory.mktemp("installed") / "environment").with_name("python")


@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize(
    "name", ["retries", *(pytest.param(name, marks=pytest.mark.slow) for name in TESTS if name != "retries")]
)
def test_an_example_passes_with_the_wheel(name, python, tmp_path, mode, capsys):
    """A reader who copies the folder and installs the wheel sees its tests pass; nothing is left behind."""
    if mode != "process":
        pytest.skip("the examples choose their mode themselves")
    project = shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    run = subprocess.run(
        [python, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "--durations=3"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )

    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {run.stdout.splitlines()[-1].strip('= ')}\n")
    assert 0 == run.returncode, run.stdout + run.stderr
    assert f" {TESTS[name]} passed" in run.stdout
    assert [] == list((project / ".harness" / "stacks").iterdir())


def test_every_example_is_run_and_described():
    """Each folder is in the table above and in the page about tests."""
    folders = {folder.name for folder in EXAMPLES.iterdir() if (folder / "harness.toml").is_file()}
    page = (ROOT / "docs" / "testing-your-functions.md").read_text()

    assert folders == set(TESTS)
    assert folders == set(re.findall(r"\(examples/([\w-]+)/README.md\)", page))
