"""Stand-ins for images that cannot be pulled, made from Debian's packages.

    debian                 the root of them all: debian:bookworm-slim, or what debootstrap makes
    lambda-python-build    Python, pip and the wheels of all images
    lambda-python          keeps the contract of AWS's base image for Python
    memcached, registry    what a run stands on in container mode

Wheels are downloaded here, on the host, where the user's pip is set up; the builds find them in a folder.
An image carries the checksum of what it was made from, so that a second run builds nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import docker
from docker.models.images import Image

from harness.engine import BaseUnavailable, engine_architecture, failure, find_image, translated
from harness.errors import HarnessError
from harness.images.build import STAND_IN_BASE, STAND_IN_BUILD, Log, name_image, run_build
from harness.images.catalogue import BASE_DIGEST, BASE_NAME, sha256_of
from harness.settings import Settings
from harness.stack.rie import fetch_rie

DEBIAN = "lambda-harness/debian:bookworm"
MEMCACHED = "lambda-harness/memcached:1.6"
REGISTRY = "lambda-harness/registry:2"
PUBLISHED_DEBIAN = "debian:bookworm-slim"

_INPUTS = "inputs.sha256"
_FOLDER = "images/lambda-python"
_RUNTIME = "requirements/lambda-base.txt"
_HASHED = (_RUNTIME, "requirements/coordinator.txt", "requirements/worker.txt")
_TORCH = "requirements/torch.txt"
_DEBOOTSTRAP = ("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm")
# Wheels for Debian bookworm, whose C library is 2.36; pip wants to be told every older kind that will do as well.
_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def build_bases(client: docker.DockerClient, settings: Settings, *, torch_index: str = "", log: Log) -> dict[str, str]:
    """Builds the stand-ins that are missing or out of date.

    Args:
        client: The engine.
        settings: The project.
        torch_index: Where pip finds PyTorch's builds for the CPU; empty for its default index.
        log: Called with each line of progress.

    Returns:
        The image ID of each stand-in.

    Raises:
        HarnessError: One cannot be built.
    """
    debian = _debian(client, log).id
    ids = {DEBIAN: debian} | _lambda_python(client, settings, debian, torch_index, log)
    for name, folder in ((MEMCACHED, "images/memcached"), (REGISTRY, "images/registry")):
        inputs = sha256_of(settings.root, (folder,))
        ids[name] = _current(client, name, debian, inputs) or _build(
            client, name, settings.root / folder, debian=debian, inputs=inputs, log=log
        )
    return ids


def _lambda_python(
    client: docker.DockerClient, settings: Settings, debian: str, torch_index: str, log: Log
) -> dict[str, str]:
    inputs = sha256_of(settings.root, (_FOLDER, *_HASHED, _TORCH))
    targets = {STAND_IN_BUILD: "build", STAND_IN_BASE: "base"}
    present = {name: image_id for name in targets if (image_id := _current(client, name, debian, inputs))}
    if present.keys() == targets.keys():
        return present
    with tempfile.TemporaryDirectory(prefix="lambda-python-") as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(settings.root / _FOLDER, context)
        shutil.copy(settings.root / _RUNTIME, context)
        shutil.copy(fetch_rie(settings), context / "aws-lambda-rie")
        log("downloading the wheels of all images")
        machine = _MACHINES[engine_architecture(client)]
        for name in _HASHED:
            _download(settings.root / name, context / "wheels", machine, "--require-hashes", "--no-deps")
        index = ("--index-url", torch_index) if torch_index else ()
        _download(settings.root / _TORCH, context / "wheels", machine, *index)
        return {
            name: _build(client, name, context, target=target, debian=debian, inputs=inputs, log=log)
            for name, target in targets.items()
        }


def _current(client: docker.DockerClient, name: str, debian: str, inputs: str) -> str | None:
    """The ID of the stand-in when it was made from just these inputs."""
    image = find_image(client, name)
    wanted = _labels(debian, inputs).items()
    return str(image.id) if image is not None and wanted <= image.labels.items() else None


def _labels(debian: str, inputs: str) -> dict[str, str]:
    return {BASE_NAME: DEBIAN, BASE_DIGEST: debian, _INPUTS: inputs}


def _build(
    client: docker.DockerClient,
    name: str,
    context: Path,
    *,
    target: str | None = None,
    debian: str,
    inputs: str,
    log: Log,
) -> str:
    log(f"building {name}")
    options = {
        "path": str(context),
        "target": target,
        "buildargs": {"DEBIAN": debian},
        "labels": _labels(debian, inputs),
        # apt-get reaches what the host reaches.
        "network_mode": "host",
    }
    image_id = run_build(client, name, options, log=log)
    name_image(client, image_id, name)
    return image_id


def _debian(client: docker.DockerClient, log: Log) -> Image:
    present = find_image(client, DEBIAN)
    if present is not None:
        return present
    published = find_image(client, PUBLISHED_DEBIAN) or _pulled_debian(client)
    if published is None:
        return _bootstrapped_debian(client, log)
    name_image(client, published.id, DEBIAN)
    return published


def _pulled_debian(client: docker.DockerClient) -> Image | None:
    try:
        with translated(f"{PUBLISHED_DEBIAN} cannot be pulled"):
            return client.images.pull(PUBLISHED_DEBIAN)
    except HarnessError:
        return None  # debootstrap is the other way to have one


def _bootstrapped_debian(client: docker.DockerClient, log: Log) -> Image:
    """Debian from its package archive; it takes root, because the tree belongs to root."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise BaseUnavailable(
            f"{PUBLISHED_DEBIAN} cannot be pulled, and making Debian anew takes root and debootstrap",
            remedy="check the network; or run, as root: apt-get install debootstrap, then `make base-images`",
        )
    log("making Debian with debootstrap (a minute or more)")
    with tempfile.TemporaryDirectory(prefix="debian-") as scratch:
        tree, archive = Path(scratch) / "tree", Path(scratch) / "tree.tar"
        _run([*_DEBOOTSTRAP, str(tree)], "debootstrap cannot make Debian")
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(tree / leftover)
            (tree / leftover / "partial").mkdir(parents=True)
        _run(["tar", "-C", str(tree), "-cf", str(archive), "."], "the tree of Debian cannot be packed")
        repository, _, tag = DEBIAN.partition(":")
        with translated("Debian cannot be imported"):
            answer = client.api.import_image_from_file(str(archive), repository, tag)
    image = find_image(client, DEBIAN)
    if image is None:  # the engine reports a failure in an answer of status 200
        raise failure("Debian cannot be imported", answer)
    return image


def _download(requirements: Path, folder: Path, machine: str, *options: str) -> None:
    platforms = [option for kind in _MANYLINUX for option in ("--platform", f"{kind}_{machine}")]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "download"]
    wheels = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]
    where = ["--requirement", str(requirements), "--dest", str(folder)]
    _run(
        [*pip, *wheels, "--abi", "abi3", "--abi", "none", *platforms, *options, *where],
        f"pip cannot download the wheels of {requirements.name}",
    )


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    output = f"{done.stdout}\n{done.stderr}"
    if "No space left" in output:
        raise HarnessError(f"{what}: no room left on the disk", tempfile.gettempdir(), "make room, or set TMPDIR")
    errors = [line for line in output.splitlines() if line.startswith(("E:", "ERROR", "W:"))]
    raise HarnessError(
        what,
        "; ".join(errors[-2:])[:300] or f"{command[0]} ended with {done.returncode}",
        "check the network and run this again",
    )
