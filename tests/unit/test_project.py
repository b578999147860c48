"""The project's own files agree with each other."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINUX = {"python_version": "3.11", "sys_platform": "linux", "platform_system": "Linux"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements_of(name: str) -> set[str]:
    """The requirements that a .in file names, those of the files that it includes too."""
    found: set[str] = set()
    for line in (ROOT / "requirements" / f"{name}.in").read_text().splitlines():
        if line.startswith("-r "):
            found |= requirements_of(line.removeprefix("-r ").removesuffix(".in"))
        elif line and not line.startswith("#"):
            found.add(line)
    return found


def pins_of(name: str) -> dict[str, str]:
    """The version of each distribution that a hashed requirement file pins."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def is_asked_for(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a distribution that was asked for with these extras needs that one on Linux."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**LINUX, "extra": extra}) for extra in extras or {""})


def test_newest_changelog_entry_is_the_version():
    """A release cannot forget its entry in CHANGELOG.md."""
    entries = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert entries[0] == PROJECT["version"]


def test_package_asks_for_what_its_requirement_file_pins():
    """Installing the package brings the same distributions as requirements/harness.in and plot.in."""
    assert set(PROJECT["dependencies"]) == requirements_of("harness") | requirements_of("plot")


@pytest.mark.parametrize("name", ["lambda-base", "coordinator", "worker", "services"])
def test_images_run_the_versions_that_were_tested(name: str):
    """An image installs the versions of the environment in which the tests run."""
    pins = pins_of(name)

    assert pins, f"requirements/{name}.txt pins nothing"
    assert pins.items() <= (pins_of("harness") | pins_of("dev")).items()


def test_tools_run_beside_the_versions_of_the_harness():
    """A distribution in several files of a developer's environment has one version."""
    tool, plot, development = pins_of("harness"), pins_of("plot"), pins_of("dev")

    assert tool
    for one, other in ((tool, development), (tool, plot), (plot, development)):
        assert {name: one[name] for name in one.keys() & other.keys()}.items() <= other.items()


@pytest.mark.parametrize("name", ["lambda-base", "coordinator", "worker", "harness", "services"])
def test_pins_are_complete(name: str):
    """Installed without asking for dependencies, as images are, no distribution lacks another one."""
    found = {canonicalize_name(pin) for pin in pins_of(name)}
    wanted = {Requirement(line) for line in requirements_of(name)}
    missing: set[str] = set()
    seen: set[Requirement] = set()
    while wanted - seen:
        requirement = (wanted - seen).pop()
        seen.add(requirement)
        missing |= {canonicalize_name(requirement.name)} - found
        further = map(Requirement, distribution(requirement.name).requires or ())
        wanted |= {one for one in further if is_asked_for(one, requirement.extras)}

    assert missing == set()


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_requirement_files_name_no_package_index(path: Path):
    """Where packages come from is the user's choice; hashes say which ones."""
    options = re.findall(r"^--?[a-z-]*(?:index|find-links|trusted)[a-z-]*.*", path.read_text(), re.MULTILINE)

    assert options == []


def test_each_decision_has_a_number_of_its_own():
    """The title begins with the number of the file's name, and no two files share one."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name.partition("-")[0]) for page in pages]

    assert len(set(numbers)) == len(numbers)
    for page, number in zip(pages, numbers, strict=True):
        assert page.read_text().startswith(f"# {number}. "), page.name


def test_recipes_need_no_variable_of_the_users_shell():
    """Make's shell stops at a variable that is not set (`-u`), so a recipe must give those of the user a default."""
    text = (ROOT / "Makefile").read_text()

    assert ".SHELLFLAGS := -euo pipefail" in text
    assert [] == re.findall(r"\$\$\{?[A-Z][A-Z_]*\b(?!:-)", text)
