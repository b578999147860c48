"""What the tests with containers share: an engine, a base, a copy of the sources, images of the tests' own."""

import dataclasses
import gc
import shutil
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from harness.engine import BaseUnavailable, EngineUnavailable, find_image
from harness.images import RECIPES, Base, Recipe, build_image, connect, find_base
from harness.images.bases import REGISTRY
from harness.stack.probes import answers_http, wait_until

ROOT = Path(__file__).parents[2]
LABEL = {"lambda-harness": "test"}


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine; without one, none of these tests says anything."""
    reason = ""
    with warnings.catch_warnings():
        # docker-py leaves the socket of a failed attempt open.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = connect()
        except EngineUnavailable as error:
            reason = f"NOT TESTED, for want of a Docker engine: {error.what}; {error.remedy}"
        gc.collect()
    if reason:
        pytest.skip(reason)
    yield client
    client.close()


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
            build_image(engine, sources, own[name], base, log=lambda _line: None)
        yield own
    finally:
        for recipe in own.values():
            remove_image(engine, recipe.name)


@pytest.fixture(scope="session")
def registry(engine: docker.DockerClient) -> Iterator[str]:
    """The address of an empty registry."""
    if find_image(engine, REGISTRY) is None:
        pytest.skip(f"NOT TESTED, for want of {REGISTRY}: run `make base-images`")
    container = engine.containers.run(REGISTRY, detach=True, ports={"5000/tcp": ("127.0.0.1", None)}, labels=LABEL)
    try:
        container.reload()
        port = int(container.ports["5000/tcp"][0]["HostPort"])
        assert wait_until(lambda: answers_http(port, "/v2/"), timeout_s=30), container.logs().decode()
        yield f"127.0.0.1:{port}"
    finally:
        container.remove(force=True, v=True)
        names = [name for image in engine.images.list() for name in (*image.tags, *(image.attrs["RepoDigests"] or ()))]
        for name in names:
            if name.startswith(f"127.0.0.1:{port}/"):
                remove_image(engine, name)


def remove_image(engine: docker.DockerClient, name: str) -> None:
    """Takes the name away; the layers stay as the next build's cache."""
    try:
        engine.images.remove(name, noprune=True)
    except ImageNotFound:
        return
