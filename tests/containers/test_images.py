"""Images are built, verified and pushed by digest, and nothing unfinished passes for one."""

import dataclasses
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import docker
import pytest

from harness.images.build import Base, build_image, find_base
from harness.images.catalogue import RECIPES, Recipe
from harness.release.listing import list_images
from harness.release.push import push_images
from harness.release.record import Unverified, load_release
from harness.release.verify import (
    SMOKE_CHECKS,
    CheckFailed,
    ImageCheck,
    ImageUnderTest,
    image_under_test,
    verify_and_record,
)
from harness.system.engine import BaseUnavailable, BuildFailed, RegistryRefused, find_image
from harness.system.probes import wait_until
from harness.system.process_identity import free_port
from tests.support.containers import forget_name
from tests.support.cut_link import cut_link

CODE_REBUILD_S = 5
LIMITS_MB = {"linear_ec_1": 45, "linear_ec_2": 240}


def change_one_byte(root: Path) -> None:
    """Changes the code that all images hold."""
    with (root / "lambdas" / "training" / "job.py").open("a") as file:
        file.write("#")


@pytest.mark.parametrize("name", ["linear_ec_1", "linear_ec_2"])
def test_image_does_what_it_must(engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path, name: str):
    """A built image holds working packages, runs as a user, and answers through the emulator; that is recorded."""
    image = image_under_test(engine, own_recipes[name])

    verified = verify_and_record(project, image, SMOKE_CHECKS)

    assert [check.name for check in SMOKE_CHECKS] == [check.name for check in verified.checks]
    assert verified == load_release(project).find(image.facts.image_id)


@pytest.mark.parametrize("name", ["linear_ec_1", "linear_ec_2"])
def test_image_stays_small(engine: docker.DockerClient, own_recipes: dict[str, Recipe], sources: Path, name: str):
    """What an image adds to its base stays below its limit."""
    (entry,) = list_images(engine, sources, [own_recipes[name]])

    assert entry.above_base_mb is not None
    assert entry.above_base_mb < LIMITS_MB[name]


def test_change_of_code_makes_one_layer_anew(
    engine: docker.DockerClient, base: Base, own_recipes: dict[str, Recipe], project: Path
):
    """All layers but the last are those of the image before, and the build takes seconds."""
    recipe = dataclasses.replace(own_recipes["linear_ec_2"], name=own_recipes["linear_ec_2_nn"].name)
    before = build_image(engine, project, recipe, base)
    change_one_byte(project)

    after = build_image(engine, project, recipe, base)

    layers = [engine.images.get(built.image_id).attrs["RootFS"]["Layers"] for built in (before, after)]
    assert before.image_id != after.image_id
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    assert after.seconds < CODE_REBUILD_S


def test_failed_build_takes_no_name(
    engine: docker.DockerClient, base: Base, own_recipes: dict[str, Recipe], project: Path
):
    """An image keeps its name when the build of its successor fails."""
    recipe = own_recipes["linear_ec_1"]
    before = engine.images.get(recipe.name).id
    with (project / recipe.dockerfile).open("a") as file:
        file.write("RUN python3 -c 'raise RuntimeError(7)'\n")

    with pytest.raises(BuildFailed, match="cannot be built"):
        build_image(engine, project, recipe, base)

    assert before == engine.images.get(recipe.name).id


def test_packages_without_a_wheel_are_named(
    engine: docker.DockerClient, base: Base, own_recipes: dict[str, Recipe], project: Path
):
    """A package that the build cannot get is told by its name."""
    recipe = own_recipes["linear_ec_1"]
    requirements = project / "requirements" / "coordinator.txt"
    requirements.write_text("not-there-at-all==1.0 --hash=sha256:" + 64 * "0" + "\n")

    with pytest.raises(BuildFailed, match="finds no wheel of not-there-at-all"):
        build_image(engine, project, recipe, base)


def test_failed_check_takes_the_pass_back(engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path):
    """An image that fails once is not verified any more."""
    recipe = own_recipes["linear_ec_1"]
    verify_and_record(project, image_under_test(engine, recipe), SMOKE_CHECKS[:1])
    broken = dataclasses.replace(recipe, packages="import left_out_of_the_image")

    with pytest.raises(CheckFailed, match=r"fails the check `packages`.*left_out_of_the_image"):
        verify_and_record(project, image_under_test(engine, broken), SMOKE_CHECKS)

    assert load_release(project).images == ()


def test_further_checks_are_recorded_like_the_others(
    engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path
):
    """A caller's own check, such as a whole run, gets the image and leaves its line in the record."""

    def run(image: ImageUnderTest) -> str:
        return f"ran {image.facts.image_id}"

    image = image_under_test(engine, own_recipes["linear_ec_1"])

    verified = verify_and_record(project, image, [ImageCheck("a run", run)])

    assert [f"ran {image.facts.image_id}"] == [check.found for check in verified.checks]


def test_what_was_verified_is_what_the_registry_holds(
    engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path, registry: str
):
    """The digest in the record names, in the registry, the very image that passed."""
    recipe = own_recipes["linear_ec_1"]
    with pytest.raises(Unverified, match="has not been verified"):
        push_images(engine, project, [recipe], registry)
    image = image_under_test(engine, recipe)
    verify_and_record(project, image, SMOKE_CHECKS[:1])

    ((_facts, push),) = push_images(engine, project, [recipe], registry)

    engine.images.remove(f"{push.repository}:{push.tag}", noprune=True)
    pulled = engine.images.pull(f"{push.repository}@{push.digest}")
    assert image.facts.image_id == pulled.id
    recorded = load_release(project).find(image.facts.image_id)
    assert recorded is not None
    assert (push,) == recorded.pushes


def test_a_push_that_the_network_cuts_within_a_layer_is_finished_by_the_next(
    engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path, registry: str
):
    """The engine tries for about a minute; then the error says what happened, and nothing is on record as pushed."""
    recipe = own_recipes["linear_ec_1"]
    image = image_under_test(engine, recipe)
    verify_and_record(project, image, SMOKE_CHECKS[:1])
    # A repository of its own: in another test's the layers may lie already.
    with cut_link(registry, after_bytes=4 << 20) as link:
        with pytest.raises(RegistryRefused, match="cannot be pushed") as caught:
            push_images(engine, project, [recipe], f"{link.address}/cut")
        was_cut, recorded = link.is_cut, load_release(project).find(image.facts.image_id)
        link.mend()
        ((_facts, push),) = push_images(engine, project, [recipe], f"{link.address}/cut")

        assert engine.images.get_registry_data(f"{push.repository}@{push.digest}").id == push.digest
        forget_name(engine, f"{push.repository}:{push.tag}")
    assert was_cut
    assert recorded is not None
    assert () == recorded.pushes
    assert "run the command again" in caught.value.remedy


def test_changed_source_is_not_pushed(
    engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path, registry: str
):
    """After one byte of the code was changed, the image that passed is refused, and nothing is pushed."""
    both = [own_recipes["linear_ec_2"], own_recipes["linear_ec_1"]]
    for recipe in both:
        verify_and_record(project, image_under_test(engine, recipe), SMOKE_CHECKS[:1])
    with (project / "lambdas" / "coordinator" / "linear_ec_1.py").open("a") as file:
        file.write("#")

    with pytest.raises(Unverified, match="linear_ec_1 was built from other sources"):
        push_images(engine, project, both, registry)

    assert [] == [entry for entry in load_release(project).images if entry.pushes]


def test_unverified_push_is_not_recorded(
    engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path, registry: str
):
    """What was pushed on the user's own word does not look verified afterwards."""
    ((facts, push),) = push_images(engine, project, [own_recipes["linear_ec_2"]], registry, unverified=True)

    assert push.digest.startswith("sha256:")
    assert load_release(project).find(facts.image_id) is None


def test_refused_push_leaves_no_name(engine: docker.DockerClient, own_recipes: dict[str, Recipe], project: Path):
    """A registry that does not answer is named, and nothing here looks as if it had been pushed."""
    recipe, nobody = own_recipes["linear_ec_1"], f"127.0.0.1:{free_port()}"

    with pytest.raises(RegistryRefused, match=f"{nobody}/{recipe.name}.*cannot be pushed"):
        push_images(engine, project, [recipe], nobody, unverified=True)

    assert [] == [tag for tag in engine.images.get(recipe.name).tags if tag.startswith(nobody)]


def test_base_that_cannot_be_pulled_is_told(engine: docker.DockerClient):
    """A base from a registry that does not answer is an error with what to do."""
    with pytest.raises(BaseUnavailable, match="cannot be pulled") as raised:
        find_base(engine, f"127.0.0.1:{free_port()}/nothing:1")

    assert "harness images bases" in raised.value.remedy


def test_base_of_another_architecture_is_told(engine: docker.DockerClient, base: Base):
    """An image is not built for one architecture on a base of another."""
    other = {"amd64": "arm64", "arm64": "amd64"}[base.architecture]

    with pytest.raises(BaseUnavailable, match=f"the base is for {base.architecture}"):
        find_base(engine, base.name, other)


def test_inside_of_lambda_no_emulator_runs(engine: docker.DockerClient, own_recipes: dict[str, Recipe]):
    """Where Lambda gives the address of its runtime API, the runtime asks there, and the emulator stays out of it."""
    container = engine.containers.create(
        own_recipes["linear_ec_1"].name,
        environment={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9", "AWS_DEFAULT_REGION": "us-east-1"},
        labels={"lambda-harness": "test"},
        network_disabled=True,
    )
    try:
        container.start()
        status = container.wait(timeout=60)["StatusCode"]
        output = container.logs().decode()
    finally:
        container.remove(force=True)

    assert status != 0
    assert "awslambdaric" in output
    assert "rapid" not in output


def test_a_function_may_have_modules_named_as_the_librarys(engine: docker.DockerClient, base: Base, tmp_path: Path):
    """As on AWS, the runtime has imported its own `json` and `logging` before the function's folder comes first."""
    (tmp_path / "app.py").write_text("import calendar\n\n\ndef handler(event, context):\n    return calendar.OWN\n")
    for name in ("json", "logging", "calendar"):
        (tmp_path / f"{name}.py").write_text("OWN = 'the function has its own'\n")
    tmp_path.chmod(0o755)
    container = engine.containers.run(
        base.name,
        ["app.handler"],
        volumes={str(tmp_path): {"bind": "/var/task", "mode": "ro"}},
        ports={"8080/tcp": ("127.0.0.1", None)},
        labels={"lambda-harness": "test"},
        detach=True,
    )
    try:
        container.reload()
        port = container.ports["8080/tcp"][0]["HostPort"]
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        answers: list[bytes] = []

        def answers_now() -> bool:
            with suppress(OSError), urlopen(url, data=b"{}", timeout=30) as answer:
                answers.append(answer.read())
            return bool(answers)

        assert wait_until(answers_now, 30), container.logs()
    finally:
        container.remove(force=True)

    assert b'"the function has its own"' == answers[0]


def test_image_that_is_not_built_is_listed_as_such(engine: docker.DockerClient, sources: Path):
    """A list shows what is missing, too."""
    missing = dataclasses.replace(RECIPES["linear_ec_1"], name="test-never-built")

    (entry,) = list_images(engine, sources, [missing])

    assert entry.state == "not built"
    assert find_image(engine, missing.name) is None
