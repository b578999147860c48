"""The image of a function that names none, for container mode: Lambda's base image, its libraries, and its package.

The libraries are the ones that a package gets. They are a layer of their own, which a change of the code leaves alone.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import docker
from docker.errors import APIError

from harness.gateway.unpacking import unpack
from harness.images.build import AWS_BASE, Base, find_base, name_image, run_build
from harness.settings import FunctionSettings
from harness.stack.plan import Log
from harness.system.engine import connect, find_image

# The stand-in of the base image has this Python.
_STAND_IN = "python3.11"
FUNCTION_LABEL = "lambda-harness.function"


def package_image(
    name: str,
    function: FunctionSettings,
    archive: bytes,
    libraries: Sequence[Path],
    layers: Sequence[Path],
    *,
    log: Log,
) -> str:
    """Return the ID of a function's image; build it if its code, its libraries or its base has changed.

    Args:
        name: The function's name.
        function: Its table in harness.toml.
        archive: Its deployment package.
        libraries: The folders of its libraries.
        layers: The folders of its layers.
        log: Called when the image is built.

    Raises:
        HarnessError: The base cannot be had, or the build fails.
    """
    with closing(connect()) as client:
        return _current(client, name, function, archive, libraries, layers, log=log)


def _current(
    client: docker.DockerClient,
    name: str,
    function: FunctionSettings,
    archive: bytes,
    libraries: Sequence[Path],
    layers: Sequence[Path],
    *,
    log: Log,
) -> str:
    base = find_base(client, None if function.python == _STAND_IN else _base_of(function))
    parts = (base.image_id, function.handler, *(folder.name for folder in (*libraries, *layers)))
    digest = hashlib.sha256("\0".join(parts).encode() + archive).hexdigest()
    tag = f"lambda-harness/function:{digest[:24]}"
    found = find_image(client, tag)
    if found is not None:
        return str(found.id)
    log(f"building an image of {name} on {base.name}")
    owner = owner_of(name, function)
    image_id = _build(client, name, function, archive, libraries, layers, base=base, owner=owner)
    name_image(client, image_id, tag)
    _remove_others(client, owner, image_id)
    return image_id


def owner_of(name: str, function: FunctionSettings) -> str:
    """Return the value of the label that all images of a function have."""
    return hashlib.sha256(f"{function.source}\0{name}".encode()).hexdigest()[:24]


def _base_of(function: FunctionSettings) -> str:
    return f"{AWS_BASE.rpartition(':')[0]}:{function.python.removeprefix('python')}"


def _build(
    client: docker.DockerClient,
    name: str,
    function: FunctionSettings,
    archive: bytes,
    libraries: Sequence[Path],
    layers: Sequence[Path],
    *,
    base: Base,
    owner: str,
) -> str:
    with tempfile.TemporaryDirectory(prefix="lambda-harness-") as folder:
        context = Path(folder)
        unpack(archive, context / "code")
        # The first one wins, as in a package; of layers, the last one.
        merge(reversed(libraries), context / "libraries")
        merge(layers, context / "opt")
        (context / "Dockerfile").write_text(
            f"FROM {base.image_id}\nCOPY opt/ /opt/\nCOPY libraries/ /var/task/\nCOPY code/ /var/task/\n"
            "USER 1000:1000\n"
            f"LABEL {FUNCTION_LABEL}={owner}\nCMD {json.dumps([function.handler])}\n",
            encoding="utf-8",
        )
        options = {"path": folder, "platform": f"linux/{base.architecture}"}
        return run_build(client, name, options, build_output=lambda _line: None)


def merge(sources: Iterable[Path], target: Path) -> None:
    """Copy the content of folders into a new one; the last of them wins."""
    target.mkdir()
    for source in sources:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True, ignore=ignore)


def _remove_others(client: docker.DockerClient, owner: str, image_id: str) -> None:
    """Remove the function's earlier images, other than those that a container still runs."""
    # Not `client.images.list()`, which inspects each image and fails when one goes in between.
    for image in client.api.images(filters={"label": f"{FUNCTION_LABEL}={owner}"}):
        if image["Id"] != image_id:
            for tag in image["RepoTags"] or ():
                with suppress(APIError):
                    client.images.remove(tag)
