"""What the tests with containers share: a base, a copy of the sources, images of the tests' own."""

import dataclasses
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from harness.images.build import Base, build_image, find_base
from harness.images.catalogue import RECIPES, Recipe
from harness.images.services import service_images
from harness.settings import Settings
from harness.system.engine import BaseUnavailable
from tests.support.containers import forget_name, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def base(engine: docker.DockerClient) -> Base:
    """What images are built on here."""
    try:
        return find_base(engine, None)
    except BaseUnavailable as error:
        pytest.skip(f"NOT TESTED, for want of a base image: {error.what}; {error.remedy}")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what images are built from, which nobody else changes during the tests."""
    root = tmp_path_factory.mktemp("sources")
    for name in ("lambdas", "requirements", "images"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dockerignore", "harness.toml"):
        shutil.copy(ROOT / name, root)
    return root


@pytest.fixture
def project(sources: Path, tmp_path: Path) -> Path:
    """A copy of the sources for one test to change."""
    return Path(shutil.copytree(sources, tmp_path / "project"))


@pytest.fixture(scope="session")
def own_recipes(engine: docker.DockerClient, base: Base, sources: Path) -> Iterator[dict[str, Recipe]]:
    """The recipes under names that no user's image has, all of them built once."""
    mark = uuid.uuid4().hex[:8]
    own = {name: dataclasses.replace(recipe, name=f"test-{mark}-{name}") for name, recipe in RECIPES.items()}
    try:
        for name in ("linear_ec_1", "linear_ec_2"):
            build_image(engine, sources, own[name], base)
        yield own
    finally:
        for recipe in own.values():
            forget_name(engine, recipe.name)


@pytest.fixture(scope="session")
def registry(engine: docker.DockerClient, settings: Settings) -> Iterator[str]:
    """The address of an empty registry."""
    image = service_images(engine, settings, log=print).registry
    with running(image, 5000, greeting=b"GET /v2/ HTTP/1.0\r\n\r\n", engine_side=True) as address:
        try:
            yield address
        finally:
            images = engine.api.images()
            names = [name for image in images for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ()))]
            for name in names:
                if name.startswith(f"{address}/"):
                    forget_name(engine, name)
