"""What a stack in containers stands on is found or made, and told at once when it can be neither."""

import shutil
import socket
import time
from pathlib import Path

import docker
import httpx
import pytest

from harness.guard import HEALTH, SECRET_VARIABLE, new_secret
from harness.images.bases import PUBLISHED, PYTHON, SERVICES, Bases
from harness.images.pull import Registries, registries
from harness.images.services import service_images
from harness.settings import Settings, load_settings
from harness.system.engine import BaseUnavailable, find_image
from harness.system.probes import wait_until
from harness.system.process_identity import free_port

ROOT = Path(__file__).parents[2]
# Two on an idle machine; other tests run beside this one.
CODE_REBUILD_S = 15
AS_BARE_AS_CAN_BE = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}


@pytest.fixture
def clone(tmp_path: Path) -> Settings:
    """A copy of what the images are made of, for the test to change."""
    for name in ("harness", "requirements", "images"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dockerignore", "harness.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return load_settings(tmp_path)


def test_all_are_found_or_made(engine: docker.DockerClient, settings: Settings):
    """Each image is there afterwards, and asking again makes nothing."""
    images = service_images(engine, settings, log=print)
    lines: list[str] = []

    again = service_images(engine, settings, log=lines.append)

    assert images == again
    # Another process of the tests may be looking for its images at the same time.
    assert [] == [line for line in lines if not line.startswith("waiting for another command")]
    for key, name in images.names.items():
        image = find_image(engine, name)
        assert image is not None
        assert getattr(images, key) == image.id


def test_change_of_code_takes_seconds(engine: docker.DockerClient, settings: Settings, clone: Settings):
    """Packages stay as they are when a file of the harness changes."""
    before = service_images(engine, settings, log=print).services
    with (clone.root / "harness" / "errors.py").open("a") as file:
        file.write("#")
    started = time.monotonic()
    try:
        with registries(engine) as reachable:
            after = Bases(engine, clone, reachable, print).make(SERVICES)
        seconds = time.monotonic() - started
    finally:
        engine.images.get(before).tag(SERVICES)

    layers = [engine.images.get(image).attrs["RootFS"]["Layers"] for image in (before, after)]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    assert seconds < CODE_REBUILD_S


@pytest.mark.parametrize(
    ("key", "command", "port", "path"),
    [
        ("localstack", None, 4566, HEALTH),
        ("services", ["python3", "-m", "harness.emulation.moto_server", "5000", "0.0.0.0"], 5000, HEALTH),  # noqa: S104 - inside
        ("registry", None, 5000, "/v2/"),
    ],
)
def test_service_answers_from_a_container_that_may_do_nothing(
    engine: docker.DockerClient, settings: Settings, key: str, command: list[str] | None, port: int, path: str
):
    """A read-only root, no capability, no further privilege: the services need none of them."""
    image = getattr(service_images(engine, settings, log=print), key)
    container = engine.containers.create(
        image,
        command,
        ports={f"{port}/tcp": ("127.0.0.1", None)},
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - the container's own
        labels={"lambda-harness": "test"},
        environment={SECRET_VARIABLE: new_secret()},
        **AS_BARE_AS_CAN_BE,
    )
    try:
        container.start()
        container.reload()
        url = f"http://127.0.0.1:{container.ports[f'{port}/tcp'][0]['HostPort']}{path}"
        assert wait_until(lambda: answers(url), timeout_s=60), container.logs().decode()
    finally:
        container.remove(force=True, v=True)


def answers(url: str) -> bool:
    """Whether GET is answered with 200."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_services_run_as_an_ordinary_user(engine: docker.DockerClient, settings: Settings):
    """Nothing of ours is root by its image."""
    images = service_images(engine, settings, log=print)

    assert ["1000:1000"] == [engine.images.get(images.services).attrs["Config"]["User"]]


def test_silent_registry_is_given_up_once(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch):
    """A registry that takes connections and says nothing costs its time once, not for each of its images."""
    monkeypatch.setattr("harness.images.pull.ANSWER_WITHIN_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, registries(engine) as reachable:
        registry = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BaseUnavailable, match=f"{registry} does not answer within 1 s"):
            reachable.find_or_pull(f"{registry}/memcached:1")
        silent.close()  # asked again, it would refuse
        with pytest.raises(BaseUnavailable, match=f"{registry} does not answer within 1 s"):
            reachable.find_or_pull(f"{registry}/registry:2")


def test_published_image_is_taken_where_no_stand_in_was_made(
    engine: docker.DockerClient, settings: Settings, registry: str, monkeypatch: pytest.MonkeyPatch
):
    """An image that can be pulled is pulled, and no stand-in is made for it."""
    published, stand_in = f"{registry}/python:3", "lambda-harness/test-nobody-made-this:1"
    source = engine.images.get(service_images(engine, settings, log=print).services)
    source.tag(published)
    engine.images.push(published)
    engine.images.remove(published, noprune=True)
    monkeypatch.setitem(PUBLISHED, stand_in, published)
    with registries(engine) as reachable:
        found = Bases(engine, settings, reachable, print).find(stand_in)

    assert (published, source.id) == found
    assert find_image(engine, stand_in) is None


def test_machine_that_can_do_neither_is_told_what_to_do(
    engine: docker.DockerClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Without a network, without root and without Debian there is one error, and it comes at once."""
    nobody = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr("harness.images.bases.PUBLISHED_DEBIAN", f"{nobody}/debian:bookworm-slim")
    monkeypatch.setattr("harness.images.bases.DEBIAN", "lambda-harness/test-no-debian:1")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    started = time.monotonic()
    with registries(engine) as reachable, pytest.raises(BaseUnavailable) as raised:
        Bases(engine, settings, reachable, print).make(PYTHON)

    assert "requires root and debootstrap" in raised.value.what
    assert "harness images bases" in raised.value.remedy
    assert time.monotonic() - started < 30


def test_registries_are_asked_for_nothing_that_is_here(engine: docker.DockerClient, settings: Settings):
    """An image on this machine needs no network."""
    name = service_images(engine, settings, log=print).names["memcached"]

    assert engine.images.get(name).id == Registries(engine, engine).find_or_pull(name).id
