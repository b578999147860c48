"""The installed wheel builds and runs images, in an empty folder outside of any clone."""

import os
from pathlib import Path

import docker
import pytest

from harness.settings import Settings
from tests.support.containers import forget_name
from tests.support.installed import build_wheel, install_wheel, run

BUILD = """
import dataclasses, sys
from pathlib import Path
from harness.images.build import build_image, find_base
from harness.images.catalogue import RECIPES
from harness.images.sources import sources_of
from harness.system.engine import connect
client = connect()
recipe = dataclasses.replace(RECIPES["linear_ec_1"], name=sys.argv[1])
print(build_image(client, sources_of(Path.cwd()), recipe, find_base(client, None)).image_id)
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    return install_wheel(wheel, tmp_path_factory.mktemp("installed") / "environment")


@pytest.mark.usefixtures("base")
def test_an_image_is_built_from_what_the_wheel_carries(command: Path, engine: docker.DockerClient, tmp_path: Path):
    """Its label names the version of the harness, for want of a commit."""
    name = f"test-installed-{os.getpid()}"
    try:
        # Under its own name, an image would take the place of the one that other tests use.
        built = run(command.with_name("python"), "-I", "-c", BUILD, name, cwd=tmp_path)

        assert 0 == built.returncode, built.stderr
        labels = engine.images.get(built.stdout.strip()).labels
        assert "0.1.0" == labels["org.opencontainers.image.revision"]
    finally:
        forget_name(engine, name)


@pytest.mark.usefixtures("base")
def test_a_training_run_in_containers(command: Path, settings: Settings, tmp_path: Path):
    """The stack's images and the functions' are found or built, and the model is that of any other run."""
    cache = str(settings.cache_dir.parent)
    arguments = ("run", "--mode", "container", "--n-workers", "4", "--n-epochs", "2")
    ran = run(command, *arguments, cwd=tmp_path, XDG_CACHE_HOME=cache, HOME=cache)

    assert 0 == ran.returncode, ran.stderr
    assert "sha256 93f4550dd06d249b" in ran.stdout
