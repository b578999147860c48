"""An image is verified by a whole training run on its very digest."""

import dataclasses
import re
from pathlib import Path

import docker
import msgspec
import pytest

from harness.errors import HarnessError
from harness.images.build import Base, build_image
from harness.images.catalogue import Recipe
from harness.release.record import load_release
from harness.release.training_check import training_check
from harness.release.verify import SMOKE_CHECKS, CheckFailed, image_under_test, verify_and_record
from harness.settings import Settings

pytestmark = pytest.mark.timeout(300)


def with_images(settings: Settings, **images: str) -> Settings:
    """The settings with these functions on images of the tests' own."""
    functions = {
        name: msgspec.structs.replace(function, image=images.get(name, function.image))
        for name, function in settings.functions.items()
    }
    return msgspec.structs.replace(settings, functions=functions)


@pytest.fixture
def broken(engine: docker.DockerClient, base: Base, own_recipes: dict[str, Recipe], project: Path) -> Recipe:
    """A worker that starts, refuses a wrong event, and fails at every right one."""
    registry = project / "lambdas" / "training" / "algorithm" / "registry.py"
    good = re.compile(r"^def train\([^)]*\) -> Outcome:\n", re.MULTILINE)
    code, found = good.subn(r'\g<0>    raise RuntimeError("broken by the test")\n', registry.read_text())
    assert found == 1
    registry.write_text(code)
    recipe = dataclasses.replace(own_recipes["linear_ec_2"], name=own_recipes["linear_ec_2_nn"].name)
    build_image(engine, project, recipe, base, build_output=print)
    return recipe


def test_good_images_pass_and_the_record_tells_on_which_digests(
    engine: docker.DockerClient, settings: Settings, own_recipes: dict[str, Recipe], tmp_path: Path
):
    """Coordinator and worker train on their own digests, and the record names both."""
    names = {name: own_recipes[name].name for name in ("linear_ec_1", "linear_ec_2")}
    with training_check(with_images(settings, **names), log=print) as check:
        for name in names:
            verify_and_record(tmp_path, image_under_test(engine, own_recipes[name]), [check])

    entries = load_release(tmp_path).images
    digests = [engine.images.get(name).id for name in names.values()]
    assert sorted(digests) == sorted(entry.image.image_id for entry in entries)
    for entry in entries:
        (result,) = entry.checks
        assert result.name == "training run"
        assert all(digest.removeprefix("sha256:")[:12] in result.found for digest in digests)


def test_image_that_does_not_train_is_not_verified(
    engine: docker.DockerClient, settings: Settings, own_recipes: dict[str, Recipe], broken: Recipe, tmp_path: Path
):
    """What passes every other check and fails to train fails; the worker's own error is told, nothing recorded."""
    own = with_images(settings, linear_ec_1=own_recipes["linear_ec_1"].name, linear_ec_2=broken.name)
    with (
        training_check(own, log=print) as check,
        pytest.raises(CheckFailed, match=r"fails the check `training run`.*broken by the test"),
    ):
        verify_and_record(tmp_path, image_under_test(engine, broken), [*SMOKE_CHECKS, check])

    assert load_release(tmp_path).images == ()


def test_image_of_no_function_is_told(
    engine: docker.DockerClient, settings: Settings, own_recipes: dict[str, Recipe], tmp_path: Path
):
    """An image that no function names cannot be trained on, and that is an error, not a pass."""
    with (
        training_check(settings, log=print) as check,
        pytest.raises(HarnessError, match="no function of the training runs from image test-"),
    ):
        verify_and_record(tmp_path, image_under_test(engine, own_recipes["linear_ec_2"]), [check])
