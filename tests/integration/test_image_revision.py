"""The revision that an image is labelled with, which git knows, and the other arguments of its build."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.images.build import Base, build_arguments
from harness.images.catalogue import RECIPES, Recipe, revision_of, sha256_of, source_sha256
from tests.support.image_sources import RECIPE, write_sources

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source folder of two files."""
    return write_sources(tmp_path)


@pytest.fixture
def recipe() -> Recipe:
    """An image made from that folder."""
    return RECIPE


@pytest.fixture
def git(tree: Path) -> Callable[..., str]:
    """Runs git in the source folder, which is a repository with one commit."""

    def run(*arguments: str) -> str:
        options = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tree), *options, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "-q")
    run("add", ".")
    run("commit", "-q", "-m", "first", "--no-verify")
    return run


def test_revision_is_the_commit_that_touched_the_source(tree: Path, recipe: Recipe, git: Callable[..., str]):
    """A commit of other files, such as the record of a release, leaves the image's revision as it is."""
    first = git("rev-parse", "HEAD")
    (tree / "README.md").write_text("x")
    git("add", ".")
    git("commit", "-q", "-m", "second", "--no-verify")

    assert first == revision_of(tree, recipe)


def test_revision_tells_of_uncommitted_changes(tree: Path, recipe: Recipe, git: Callable[..., str]):
    """A changed source does not pass for the commit that it started from."""
    (tree / "code" / "handler.py").write_text("x")

    assert f"{git('rev-parse', 'HEAD')}-dirty" == revision_of(tree, recipe)


def test_revision_outside_of_a_repository_is_unknown(tree: Path, recipe: Recipe):
    """An unpacked release can be built from as well."""
    assert revision_of(tree, recipe) == "unknown"


def test_image_says_what_it_is_made_of(tree: Path, recipe: Recipe):
    """Base, revision, source and packages reach the labels through the build's arguments."""
    base = Base("some/base:1", "sha256:manifest", "sha256:config", "sha256:build", "amd64")

    assert {
        "BASE_IMAGE": "sha256:config",
        "BUILD_IMAGE": "sha256:build",
        "BASE_NAME": "some/base:1",
        "BASE_DIGEST": "sha256:manifest",
        "REVISION": "unknown",
        "SOURCE_SHA256": source_sha256(tree, recipe),
        "REQUIREMENTS_SHA256": sha256_of(tree, ("packages.txt",)),
    } == build_arguments(tree, recipe, base)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_dockerfile_takes_every_argument(recipe: Recipe):
    """No argument of a build is lost for want of an ARG of that name."""
    base = Base("b", "d", "i", "p", "amd64")
    text = (ROOT / recipe.dockerfile).read_text()

    assert [] == [name for name in build_arguments(ROOT, recipe, base) if f"ARG {name}=" not in text]
