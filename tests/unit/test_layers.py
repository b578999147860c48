"""The layers of pyproject.toml: every room is in one, the documentation prints them, and no imports form a circle."""

import re
import tomllib
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

from fixtures.layer_tables import layer_table, layers, path_of

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def circle_in(imports: Mapping[str, set[str]]) -> list[str]:
    """Return one circle of modules that import each other, or an empty list."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
@pytest.mark.parametrize("package", ["harness", "training"])
def test_the_documentation_prints_the_layers(page: str, package: str):
    """The tables are the generated ones; `python fixtures/layer_tables.py` prints them."""
    assert layer_table(package) in (ROOT / page).read_text()


@pytest.mark.parametrize("package", ["harness", "training"])
def test_rooms_beside_each_other_are_independent(package: str):
    """No layer is declared with `:`, which would let its rooms import each other."""
    (contract,) = [one for one in SETTINGS["contracts"] if one.get("containers") == [package]]

    assert [layer for layer in contract["layers"] if ":" in layer] == []


@pytest.mark.parametrize("package", ["harness", "training"])
def test_every_room_exists_and_every_folder_is_a_package(package: str):
    """import-linter skips a folder without `__init__.py`, and a wheel leaves it out."""
    for rooms in layers(package):
        for room in rooms:
            assert path_of(package, room).exists(), room
    root = path_of(package, ".")
    # The files of `harness init` are a user's, not modules of ours.
    folders = {path.parent for path in root.rglob("*.py") if "templates" not in path.parts}

    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_import_escapes_the_contracts():
    """Imports under TYPE_CHECKING count, and no contract makes an exception for a single import."""
    assert not SETTINGS.get("exclude_type_checking_imports", False)
    assert [one["name"] for one in SETTINGS["contracts"] if one.get("ignore_imports")] == []


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions and under TYPE_CHECKING count as well."""
    graph = grimp.build_graph("harness", "training", cache_dir=None, exclude_type_checking_imports=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    circle = circle_in(imports)

    assert [f"{one} -> {other}" for other, one in pairwise(circle)] == []


def test_lambdas_never_mention_the_harness():
    """The code that goes to AWS neither imports nor names the tool that rehearses it."""
    sources = [path for path in sorted((ROOT / "lambdas").rglob("*")) if path.suffix in {".py", ".txt", ".toml"}]

    mentions = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"\bharness\b", line, re.IGNORECASE)
    ]

    assert sources, "no file of lambdas/ was read"
    assert mentions == []
