"""The Docker engine: the only module that connects to it, queries it and translates its errors.

EngineUnavailable   there is no engine, or it is too old
BaseUnavailable     a base image is neither on this machine nor can be pulled
BuildFailed         a step of a Dockerfile failed
RegistryRefused     a push was refused or interrupted
HarnessError        any other error, in the engine's own words
"""

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException
from docker.models.images import Image

from harness.errors import HarnessError

# The API of Docker 20.10 (2020), the oldest engine that the harness was tested with.
MINIMUM_API = (1, 41)
JOIN_DOCKER = "join the group docker (`sudo usermod -aG docker $USER`, then log in again), or run as root"
_NO_ROOM = "no space left on device"


class EngineUnavailable(HarnessError):
    """The Docker engine cannot be reached or used."""


class BaseUnavailable(HarnessError):
    """A base image is not available."""


class BuildFailed(HarnessError):
    """A step of a Dockerfile failed, so no image was tagged."""


class RegistryRefused(HarnessError):
    """A registry refused an image, or cannot be reached."""


def connect(timeout_s: float = 600) -> docker.DockerClient:
    """Return a client of the engine that Docker's own variables name, by default the one on this machine.

    Args:
        timeout_s: How long the engine may take to respond.

    Raises:
        EngineUnavailable: No engine responds, this user may not use it, or it is too old.
    """
    try:
        client = docker.from_env(version="auto", timeout=timeout_s)
        api_version: str = client.version()["ApiVersion"]
    except (DockerException, requests.exceptions.RequestException) as error:
        raise _unavailable(str(error)) from error
    check_api(api_version)
    return client


def engine_socket() -> Path:
    """Return the engine's socket on this machine, for containers that use the engine themselves.

    Raises:
        EngineUnavailable: The engine is not reached through a local socket.
    """
    address = os.environ.get("DOCKER_HOST", "") or "unix:///var/run/docker.sock"
    if not address.startswith("unix://"):
        raise EngineUnavailable(
            f"the Docker engine is at {address}; container mode needs one on this machine, with a Unix socket",
            remedy="set DOCKER_HOST to unix:///..., or unset it",
        )
    return Path(address.removeprefix("unix://"))


def check_api(api_version: str) -> None:
    """Check that the engine's API is recent enough.

    Raises:
        EngineUnavailable: It is too old.
    """
    if tuple(map(int, api_version.split("."))) < MINIMUM_API:
        minimum = ".".join(map(str, MINIMUM_API))
        raise EngineUnavailable(
            f"the Docker engine is too old: its API is {api_version}, at least {minimum} is needed",
            remedy="install Docker 20.10 or newer",
        )


def _unavailable(cause: str) -> EngineUnavailable:
    if "Permission denied" in cause:
        return EngineUnavailable("this user may not use the Docker engine", _one_line(cause), JOIN_DOCKER)
    return EngineUnavailable(
        "no Docker engine answers", _one_line(cause), "start Docker (`sudo systemctl start docker`), or set DOCKER_HOST"
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Within the block, turn the engine's errors into a HarnessError that begins with `what`."""
    try:
        yield
    except DockerException as error:
        explanation = getattr(error, "explanation", None)
        raise failure(what, explanation if isinstance(explanation, str) else str(error)) from error
    except requests.exceptions.RequestException as error:
        raise _unavailable(str(error)) from error


def failure(what: str, cause: str) -> HarnessError:
    """Return the error for an operation that the engine could not perform."""
    if _NO_ROOM in cause:
        return HarnessError(
            f"{what}: no room left on the disk",
            _one_line(cause),
            "`harness images rm` removes what the harness built; `docker system df` shows what else uses space",
        )
    if "exec format error" in cause:
        return HarnessError(
            f"{what}: the image is for another architecture than this machine's",
            _one_line(cause),
            "use an image of this machine's architecture",
        )
    return HarnessError(what, _one_line(cause))


def messages(stream: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a streamed answer, turning a broken connection into an engine error.

    Raises:
        DockerException: The connection broke.
    """
    try:
        for message in stream:
            if "error" in message:
                # The caller stops at an error, but the engine's connection is free only after the answer's end.
                with suppress(requests.exceptions.RequestException):  # report the engine's error instead
                    deque(stream, maxlen=0)
            yield message
    except requests.exceptions.RequestException as error:
        raise DockerException(f"the connection to the engine broke: {error}") from error


def find_image(client: docker.DockerClient, reference: str) -> Image | None:
    """Return the image with this name or ID on this machine; None if there is none."""
    try:
        with translated(f"cannot look for image {reference}"):
            return client.images.get(reference)
    except HarnessError as error:
        if isinstance(error.__cause__, docker.errors.NotFound):
            return None
        raise


def architecture_of(image: Image) -> str:
    """Return the architecture that the image declares, such as `amd64` or `arm64`."""
    return str(image.attrs["Architecture"])


def engine_architecture(client: docker.DockerClient) -> str:
    """Return the architecture that the engine runs natively, such as `amd64` or `arm64`."""
    with translated("cannot ask the engine for its architecture"):
        return str(client.version()["Arch"])


def _one_line(text: str) -> str:
    # The Go and Python layers nest their messages, so the cause is in the last 300 characters.
    return re.sub(r"\s+", " ", text).strip()[-300:]
