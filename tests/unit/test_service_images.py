"""The images of a stack's services: what they are made of, and what stands in for what."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.utils.build import exclude_paths

from harness.guard import SECRET_VARIABLE
from harness.images.bases import LOCALSTACK, MEMCACHED, PUBLISHED, PUBLISHED_DEBIAN, REGISTRY, Bases
from harness.stack.localstack import localstack_service

ROOT = Path(__file__).parents[2]


def variables_of(dockerfile: str) -> dict[str, str]:
    """What the Dockerfile's ENV sets."""
    text = (ROOT / dockerfile).read_text()
    (block,) = re.findall(r"^ENV (.*?[^\\])\n", text, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"(\w+)=(\S+)", block))


def test_localstack_is_set_up_alike_in_both_modes():
    """What the image's LocalStack is told is what process mode tells it, but for addresses and folders."""
    process = localstack_service(Path("python"), 4566, Path("/stack"), "secret").environment
    image = variables_of("images/localstack/Dockerfile")
    its_own = {"GATEWAY_LISTEN", "LOCALSTACK_HOST", "FILESYSTEM_ROOT"}
    del process[SECRET_VARIABLE]

    assert its_own <= image.keys()
    assert {key: value for key, value in process.items() if key not in its_own}.items() <= image.items()


@pytest.mark.parametrize("reference", [*PUBLISHED.values(), PUBLISHED_DEBIAN])
def test_published_images_are_pinned(reference: str):
    """No image changes under a user's feet because its publisher moved a name such as `latest`."""
    tag = reference.rpartition(":")[2]

    assert reference != tag
    assert re.search(r"\d", tag) or tag == "bookworm-slim"
    assert "latest" not in tag


def test_compose_takes_the_same_published_images():
    """Without any variable docker-compose runs what the harness would pull."""
    defaults = re.findall(r"\$\{\w+_IMAGE:-([^}]+)\}", (ROOT / "docker-compose.yml").read_text())

    assert {PUBLISHED[name] for name in (LOCALSTACK, MEMCACHED, REGISTRY)} == set(defaults)


@pytest.mark.parametrize(
    ("dockerfile", "sources"),
    [
        ("images/services/Dockerfile", ("harness/", "images/services/")),
        (
            "images/localstack/Dockerfile",
            ("harness/guard.py", "harness/stack/localstack_launcher.py", "images/localstack/"),
        ),
    ],
)
def test_build_gets_what_the_dockerfile_copies(dockerfile: str, sources: tuple[str, ...]):
    """.dockerignore lets through all that is copied, and nothing is copied that the image's checksum leaves out."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    sent = exclude_paths(str(ROOT), patterns)
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / dockerfile).read_text(), re.MULTILINE)

    assert copied
    assert all(name in sources for name in copied)
    assert all(any(file.startswith(name) for file in sent) for name in copied)


def test_build_output_is_not_mixed_with_the_log(settings):
    """A line of the engine's goes to `build_output`, even when it begins as one of the harness's own lines does."""
    present = SimpleNamespace(id="sha256:1", labels={}, tag=lambda _name: True)
    lines = [{"stream": "building wheels\n \n"}, {"stream": "Step 2\n"}, {"aux": {"ID": "sha256:2"}}]
    engine = SimpleNamespace(
        images=SimpleNamespace(get=lambda _name: present),
        api=SimpleNamespace(build=lambda **_options: iter(lines)),
    )
    log: list[str] = []
    output: list[str] = []
    bases = Bases(engine, settings, SimpleNamespace(), log.append, output.append)

    assert "sha256:2" == bases.make(MEMCACHED)
    assert [f"building {MEMCACHED}"] == log
    assert ["building wheels", "Step 2"] == output
