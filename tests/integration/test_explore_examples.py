"""docs/examples/explore: `harness explore` finds the fault of each wrong function, and none in its correction."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.documents import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "explore"
WITHIN_S = 600
# Each wrong function's place, and what is there after the undisturbed run and after the schedule of the finding.
WRONG = {
    "guest_book": ("s3://guests/list.json", [["Ada", "Grace"]], [["Ada", "Grace", "Grace"]]),
    "votes": (
        "dynamodb://candidates/Hypatia",
        [{"candidate": "Hypatia", "votes": 1}],
        [{"candidate": "Hypatia", "votes": 2}],
    ),
    "orders": ("sqs://warehouse", [{"ship": "o-12"}], 2 * [{"ship": "o-12"}]),
    "report": ("s3://reports/monday.csv", ["lamp,30\nbulb,4"], [""]),
    "payments_wrong_key": (
        "dynamodb://payments/<id>",
        [{"reference": "<id>", "amount": 50}],
        2 * [{"reference": "<id>", "amount": 50}],
    ),
}
CORRECT = ("guest_book_once", "votes_once", "orders_once", "report_once", "payments")
# What runs every day; the others take longer, or install Powertools.
QUICK = {"votes", "votes_once", "guest_book"}

pytestmark = pytest.mark.timeout(WITHIN_S + 60)


def each(names):
    """Parameters, of which the longer ones are slow tests."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


@pytest.fixture
def project(tmp_path, mode):
    """A copy of the examples."""
    if mode != "process":
        pytest.skip("explorations have a stack of their own, of processes")
    return shutil.copytree(EXAMPLES, tmp_path / "explore", ignore=shutil.ignore_patterns(".*", "__pycache__"))


def explored(project, *arguments):
    """What `harness explore` prints as JSON, and its exit code."""
    command = [sys.executable, "-m", "harness", "explore", *arguments, "--json"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert run.stdout, run.stderr
    return json.loads(run.stdout), run.returncode


def explored_example(project, folder):
    """The exploration of an example, as its README shows it."""
    return explored(
        project,
        folder.replace("_", "-"),
        *("--event", f"{folder}/event.json"),
        *("--prepare", f"{folder}/prepare.py"),
        *("--overlaps", "6"),
    )


@pytest.mark.parametrize("folder", each(WRONG))
def test_the_fault_of_a_wrong_function_is_found_and_can_be_replayed(project, folder):
    """The finding names the place and both states; its file leads to the same."""
    address, undisturbed, after = WRONG[folder]

    found, code = explored_example(project, folder)
    places = [difference for finding in found["findings"] for difference in finding["differences"]]
    again, _ = explored(project, "--replay", found["findings"][0]["file"])

    assert 1 == code
    assert (address, undisturbed) in [(one["address"], one["undisturbed"]) for one in places]
    assert after in [one["found"] for one in places if one["address"] == address]
    assert found["findings"][0]["differences"] == again["findings"][0]["differences"]


@pytest.mark.parametrize("folder", each(CORRECT))
def test_a_corrected_function_has_no_finding(project, folder):
    """After every crash, failure and duplicate the state is that of the undisturbed run."""
    found, code = explored_example(project, folder)

    assert [] == [finding["title"] for finding in found["findings"]]
    assert 0 == code
    assert found["cases"] > 6 * len(found["calls"])


def test_every_example_is_tested_and_described():
    """In the tables above, in harness.toml and in both pages."""
    folders = {path.parent.name for path in EXAMPLES.glob("*/app.py")}
    pages = [EXAMPLES / "README.md", EXAMPLES / "harness.toml", ROOT / "docs" / "explore.md"]

    assert folders == {*WRONG, *CORRECT}
    assert {(page.name, name) for page in pages for name in folders if name not in page.read_text("utf-8")} == set()
