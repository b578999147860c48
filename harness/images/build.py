"""Build an image from its Dockerfile and base; name it only after the whole build succeeded."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from harness.errors import HarnessError
from harness.images.catalogue import Recipe, revision_of, sha256_of, source_sha256
from harness.images.pull import Log, ignore, registries
from harness.system.engine import (
    BaseUnavailable,
    BuildFailed,
    architecture_of,
    engine_architecture,
    failure,
    find_image,
    messages,
    translated,
)

AWS_BASE = "public.ecr.aws/lambda/python:3.11"
STAND_IN_BASE = "lambda-harness/lambda-python:3.11"
STAND_IN_BUILD = "lambda-harness/lambda-python-build:3.11"


@dataclass(frozen=True)
class Base:
    """The base of an image.

    Attributes:
        name: The reference that a user would type.
        digest: The registry's digest, or the image's ID if it was never in a registry.
        image_id: The engine's ID of the base.
        build_image: The image in which packages are installed.
        architecture: `amd64` or `arm64`.
    """

    name: str
    digest: str
    image_id: str
    build_image: str
    architecture: str


@dataclass(frozen=True)
class Built:
    """An image that was built and named."""

    name: str
    image_id: str
    base: Base
    seconds: float


def find_base(client: docker.DockerClient, name: str | None, architecture: str | None = None) -> Base:
    """Return the base of that name; pull it if necessary.

    Without a name, return the stand-in of `harness images bases` if it was built, and otherwise AWS's base.

    Args:
        client: The engine.
        name: A reference such as `public.ecr.aws/lambda/python:3.12`.
        architecture: The target architecture; None for the engine's own.

    Raises:
        BaseUnavailable: The base cannot be pulled, or is for another architecture.
    """
    architecture = architecture or engine_architecture(client)
    stand_in = find_image(client, STAND_IN_BASE) if name in (None, STAND_IN_BASE) else None
    if stand_in is not None:
        build = find_image(client, STAND_IN_BUILD)
        if build is None:
            raise BaseUnavailable(f"{STAND_IN_BUILD} is missing", remedy="run `harness images bases`")
        base = Base(STAND_IN_BASE, stand_in.id, stand_in.id, build.id, architecture_of(stand_in))
    else:
        reference = name or AWS_BASE
        with registries(client) as reachable:
            image = reachable.find_or_pull(reference, architecture)
        repo_digests = image.attrs.get("RepoDigests") or []
        digest = repo_digests[0].rpartition("@")[2] if repo_digests else image.id
        base = Base(reference, digest, image.id, image.id, architecture_of(image))
    if base.architecture != architecture:
        raise BaseUnavailable(
            f"the base is for {base.architecture}, but the image must run on {architecture}",
            base.name,
            f"remove it (`docker rmi {base.name}`), so that the one for {architecture} is pulled",
        )
    return base


def build_arguments(root: Path, recipe: Recipe, base: Base) -> dict[str, str]:
    """Return the arguments of the Dockerfile: the image's base, and the values of its labels."""
    return {
        "BASE_IMAGE": base.image_id,
        "BUILD_IMAGE": base.build_image,
        "BASE_NAME": base.name,
        "BASE_DIGEST": base.digest,
        "REVISION": revision_of(root, recipe),
        "SOURCE_SHA256": source_sha256(root, recipe),
        "REQUIREMENTS_SHA256": sha256_of(root, recipe.requirements),
        **recipe.arguments,
    }


def build_image(
    client: docker.DockerClient,
    root: Path,
    recipe: Recipe,
    base: Base,
    *,
    torch_index: str = "",
    build_output: Log = ignore,
) -> Built:
    """Build one image and name it.

    Args:
        client: The engine.
        root: The folder with the sources, from which files are copied as .dockerignore allows.
        recipe: The image.
        base: The image's base.
        torch_index: The package index of PyTorch's CPU builds; empty for pip's default.
        build_output: Called with each line that the engine's build prints.

    Raises:
        BuildFailed: A step failed; an older image keeps the name.
    """
    started = time.monotonic()
    arguments = build_arguments(root, recipe, base)
    if torch_index and "TORCH" in recipe.arguments:
        arguments["TORCH_INDEX"] = torch_index
    image_id = run_build(
        client,
        recipe.name,
        {
            "path": str(root),
            "dockerfile": recipe.dockerfile,
            "buildargs": arguments,
            "platform": f"linux/{base.architecture}",
        },
        build_output=build_output,
    )
    if source_sha256(root, recipe) != arguments["SOURCE_SHA256"]:
        # The image may mix old and new files, so its checksum label would be wrong.
        raise BuildFailed(f"image {recipe.name}: its source changed during the build", remedy="build it again")
    name_image(client, image_id, recipe.name)
    return Built(recipe.name, image_id, base, time.monotonic() - started)


def run_build(client: docker.DockerClient, name: str, options: dict[str, Any], *, build_output: Log) -> str:
    """Run a Dockerfile and return the new image's ID; the image has no name yet.

    Args:
        client: The engine.
        name: What errors call the image.
        options: Passed to the engine's `build`.
        build_output: Called with each line that the build prints.

    Raises:
        BuildFailed: A step failed.
        HarnessError: The engine could not build, for example because the disk is full.
    """
    what = f"image {name} cannot be built"
    image_id, output = "", ""
    with translated(what):
        for message in messages(client.api.build(rm=True, forcerm=True, decode=True, **options)):
            if "error" in message:
                raise _build_error(what, str(message["error"]), output)
            text = message.get("stream", "")
            output += text
            for line in text.splitlines():
                if line.strip():
                    build_output(line)
            image_id = message.get("aux", {}).get("ID", image_id)
        if not image_id:
            raise DockerException("the engine returned no image ID at the end of the build")
    return image_id


def name_image(client: docker.DockerClient, image_id: str, name: str) -> None:
    """Give the image that name; take it from another image if necessary."""
    with translated(f"image {name} cannot be named"):
        client.images.get(image_id).tag(name)


def _build_error(what: str, cause: str, output: str) -> HarnessError:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    missing = re.search(r"No matching distribution found for (\S+)", plain)
    if missing:
        return BuildFailed(
            f"{what}: the build finds no wheel of {missing[1]} for its base",
            "either it cannot reach a package index, or the base's C library is too old for the wheel",
            "run `harness images bases` again, or name a newer base: --base public.ecr.aws/lambda/python:3.12",
        )
    errors = [line for line in plain.splitlines() if "ERROR" in line or "Error" in line]
    general = failure(what, cause)
    if "no room" in general.what or "another architecture" in general.what:
        return general
    return BuildFailed(
        what, errors[-1].strip()[:300] if errors else general.where, "--verbose shows the complete output"
    )
