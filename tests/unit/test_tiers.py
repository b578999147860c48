"""A test's tier is the folder it lies in."""

import re
from pathlib import Path

from tests.conftest import TIERS

TESTS = Path(__file__).parents[1]


def test_every_test_has_exactly_one_tier(request):
    """Of all tests that this session runs, none carries a second tier."""
    tiers = {
        item.nodeid: [mark.name for mark in item.iter_markers() if mark.name in TIERS] for item in request.session.items
    }

    assert {} == {name: found for name, found in tiers.items() if len(found) != 1}


def test_no_file_names_its_tier():
    """The folder says it; a mark in the file could contradict it."""
    mark = re.compile(rf"pytest\.mark\.({'|'.join(TIERS)})\b")

    assert [] == [str(path) for path in TESTS.rglob("*.py") if mark.search(path.read_text())]


def test_every_folder_of_tests_is_a_tier():
    """A new folder is given a meaning in `tests/conftest.py` and a line in CONTRIBUTING.md."""
    assert set(TIERS) == {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
