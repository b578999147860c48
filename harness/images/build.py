"""Building: an image from its Dockerfile on a base, named only when all of it succeeded."""

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
    """What an image stands on.

    Attributes:
        name: As a user names it.
        digest: The registry's digest; of an image that was never in a registry, its ID.
        image_id: The engine's ID of it.
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
    """The base of that name, pulled when it is not here.

    Without a name: the stand-in of `make base-images` where it was built, else AWS's own.

    Args:
        client: The engine.
        name: A reference such as `public.ecr.aws/lambda/python:3.12`.
        architecture: What the image is to run on; None means the engine's own.

    Raises:
        BaseUnavailable: It is not here and cannot be pulled, or is for another architecture.
    """
    architecture = architecture or engine_architecture(client)
    stand_in = find_image(client, STAND_IN_BASE) if name in (None, STAND_IN_BASE) else None
    if stand_in is not None:
        build = find_image(client, STAND_IN_BUILD)
        if build is None:
            raise BaseUnavailable(f"{STAND_IN_BUILD} is missing", remedy="run `make base-images`")
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
            f"the base is for {base.architecture}, the image is to run on {architecture}",
            base.name,
            f"remove it (`docker rmi {base.name}`), so that the one for {architecture} is pulled",
        )
    return base


def build_arguments(root: Path, recipe: Recipe, base: Base) -> dict[str, str]:
    """The arguments of the Dockerfile: what the image stands on and what it says about itself."""
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
        root: The project's root, from which files are copied as .dockerignore allows.
        recipe: The image.
        base: What it stands on.
        torch_index: Where pip finds PyTorch's builds for the CPU; empty for its default index.
        build_output: Called with each line that the engine's build prints.

    Raises:
        BuildFailed: A step failed; an older image of that name stays as it was.
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
        # The image may hold some files as they were and some as they are: its label would not be true.
        raise BuildFailed(f"image {recipe.name}: its source was changed during the build", remedy="build it again")
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
        HarnessError: The engine could not build, for example for want of room.
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
            raise DockerException("the engine named no image at the end of the build")
    return image_id


def name_image(client: docker.DockerClient, image_id: str, name: str) -> None:
    """Gives the image that name, which another one may have had before."""
    with translated(f"image {name} cannot be named"):
        client.images.get(image_id).tag(name)


def _build_error(what: str, cause: str, output: str) -> HarnessError:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    missing = re.search(r"No matching distribution found for (\S+)", plain)
    if missing:
        return BuildFailed(
            f"{what}: the build finds no wheel of {missing[1]} that runs on its base",
            "either it reaches no package index, or the base's C library is older than the wheel's",
            "run `make base-images` again, or name a newer base: --base public.ecr.aws/lambda/python:3.12",
        )
    errors = [line for line in plain.splitlines() if "ERROR" in line or "Error" in line]
    general = failure(what, cause)
    if "no room" in general.what or "another architecture" in general.what:
        return general
    return BuildFailed(what, errors[-1].strip()[:300] if errors else general.where, "--verbose shows all of the build")
