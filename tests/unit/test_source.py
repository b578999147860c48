"""The source is small and its names are unambiguous: lengths of files and functions, names of classes."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGER = ROOT / "docs" / "decisions" / "0032-what-is-longer-than-the-limit.md"
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 400, 60

LISTED = re.findall(r"^\| `([^`]+)` \| .+ \|$", LONGER.read_text(encoding="utf-8"), re.MULTILINE)

Function = ast.FunctionDef | ast.AsyncFunctionDef

# The folders and modules one below the two trees: one test each.
ROOMS = [
    str(path.relative_to(ROOT))
    for folder in ("harness", "lambdas")
    for path in sorted((ROOT / folder).iterdir())
    if path.suffix == ".py" or list(path.rglob("*.py"))
]


def modules(*places: str) -> Iterator[tuple[str, str]]:
    """Every module of some folders, or the modules themselves: path and text."""
    for place in places:
        for path in sorted((ROOT / place).rglob("*.py")) or [ROOT / place]:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def lines_of_docstrings(tree: ast.AST) -> set[int]:
    """The numbers of the lines that docstrings take."""
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    return {line for node in nodes for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}


def code_lines(function: Function, source: list[str]) -> int:
    """The number of a function's lines without docstrings, comments and blank lines; 0 for a short one."""
    if (function.end_lineno or 0) - function.lineno < MOST_LINES_OF_A_FUNCTION:
        return 0
    docstrings = lines_of_docstrings(function)
    numbers = range(function.lineno, (function.end_lineno or 0) + 1)
    texts = [source[number - 1].strip() for number in numbers if number not in docstrings]
    return sum(bool(text) and not text.startswith("#") for text in texts)


def longer_ones(room: str) -> set[str]:
    """The files and functions of a room above the limits, as `path` and `path: function`."""
    found = set()
    for path, text in modules(room):
        source = text.splitlines()
        if len(source) > MOST_LINES_OF_A_FILE:
            found.add(path)
        found |= {
            f"{path}: {node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, Function) and code_lines(node, source) > MOST_LINES_OF_A_FUNCTION
        }
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_longer_than_the_limit_has_a_reason(room: str):
    """Files have at most 400 lines and functions 60 lines of code; the decision lists the others, and no more."""
    assert longer_ones(room) == {
        name for name in LISTED if Path(room) in [Path(name.split(":")[0]), *Path(name).parents]
    }


def test_the_listed_exceptions_exist():
    """A file that is gone needs no exception."""
    assert [name for name in LISTED if not (ROOT / name.split(":")[0]).is_file()] == []


def test_a_class_name_stands_for_one_thing():
    """No two modules of the tool and the Lambdas define classes of the same name."""
    found = defaultdict(list)
    for path, text in modules("harness", "lambdas"):
        for name in re.findall(r"^ *class (\w+)[(:]", text, re.MULTILINE):
            found[name].append(path)

    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
