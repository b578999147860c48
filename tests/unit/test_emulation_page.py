"""The table of emulated behaviours is that of the code, and each of its rows has a test."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from fixtures.emulation_page import PAGE, SERVICES, STATES, groups, page_text, services_text, surface
from harness.gateway.api.model import service_model

ROOT = Path(__file__).parents[2]
AWS_TESTS = ROOT / "tests" / "parity" / "aws"
ROWS = [row for group in groups() for row in group.behaviour]


def functions_of(path: Path) -> set[str]:
    """Return the names of the test functions of a file."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("page", [PAGE, SERVICES], ids=lambda page: page.name)
def test_the_pages_are_those_of_the_code(page):
    """`python -m fixtures.emulation_page` writes both again."""
    text = page.read_text(encoding="utf-8")

    assert text == (page_text() if page is PAGE else services_text(text))


def test_every_named_test_exists():
    """A test that was renamed or removed takes its row along."""
    named = {tuple(row.test.split("::")) for row in ROWS}

    assert {(path, name) for path, name in named if name not in functions_of(ROOT / path)} == set()


def test_every_file_of_awss_behaviour_is_in_the_table():
    """What is tested by boto3 alone is a behaviour of AWS's."""
    named = {row.test.partition("::")[0] for row in ROWS}

    assert {str(path.relative_to(ROOT)) for path in AWS_TESTS.glob("test_*.py")} - named == set()


def test_no_behaviour_is_listed_twice():
    """Each row says something of its own, with AWS's page."""
    assert [what for what, times in Counter(row.what for row in ROWS).items() if times > 1] == []
    assert [row.what for row in ROWS if not row.aws.endswith(".html") or row.aws.startswith("http")] == []
    assert [
        row.what for row in ROWS if not row.what.endswith(".") or (row.differs and not row.differs.endswith("."))
    ] == []


def test_the_counts_at_the_top_are_those_of_the_rows():
    """By state, of operations and of members."""
    top = PAGE.read_text(encoding="utf-8").partition("## ")[0]

    by_state = Counter(row.state for row in ROWS)
    assert f"**{len(ROWS)} behaviours**: {', '.join(f'{by_state[state]} {state}' for state in STATES)}." in top
    assert f"**{len(service_model().operations)} operations**" in top


def test_every_operation_of_awss_has_a_line():
    """With every input member; an operation that is not built has refused ones alone."""
    lines = {one.name: one for one in surface()}

    assert set(lines) == set(service_model().operations)
    for name, model in service_model().operations.items():
        listed = [member for members in lines[name].members.values() for member in members]
        assert {member for member in listed if "." not in member} == set(model.members)
        assert len(listed) == len(set(listed))
        assert lines[name].built or not (lines[name].members["built"] or lines[name].members["shown"])
