"""The Docker engine: reached, asked, and its errors translated; nowhere else.

EngineUnavailable   no engine, or one too old
BaseUnavailable     an image that others stand on is neither here nor can be pulled
BuildFailed         a step of a Dockerfile failed
RegistryRefused     a push was refused or broke off
HarnessError        anything else that the engine reports, in its own words
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

# The API of Docker 20.10 (2020), the oldest engine that this was run with.
MINIMUM_API = (1, 41)
_NO_ROOM = "no space left on device"


class EngineUnavailable(HarnessError):
    """There is no engine to talk to."""


class BaseUnavailable(HarnessError):
    """An image that others stand on cannot be had."""


class BuildFailed(HarnessError):
    """A step of a Dockerfile failed; no image was named."""


class RegistryRefused(HarnessError):
    """A registry did not take an image, or cannot be reached."""


def connect(timeout_s: float = 600) -> docker.DockerClient:
    """A client of the engine that Docker's own variables name; by default the one on this machine.

    Args:
        timeout_s: How long the engine may be silent.

    Raises:
        EngineUnavailable: None answers, this user may not use it, or it is too old.
    """
    try:
        client = docker.from_env(version="auto", timeout=timeout_s)
        api_version: str = client.version()["ApiVersion"]
    except (DockerException, requests.exceptions.RequestException) as error:
        raise _unavailable(str(error)) from error
    check_api(api_version)
    return client


def engine_socket() -> Path:
    """The engine's socket on this machine, for containers that talk to the engine themselves.

    Raises:
        EngineUnavailable: The engine is reached by other means.
    """
    address = os.environ.get("DOCKER_HOST", "") or "unix:///var/run/docker.sock"
    if not address.startswith("unix://"):
        raise EngineUnavailable(
            f"the Docker engine is at {address}; container mode needs one on this machine, by its socket",
            remedy="set DOCKER_HOST to unix:///... or leave it out",
        )
    return Path(address.removeprefix("unix://"))


def check_api(api_version: str) -> None:
    """Refuses an engine that speaks an older API than ours.

    Raises:
        EngineUnavailable: It does.
    """
    if tuple(map(int, api_version.split("."))) < MINIMUM_API:
        wanted = ".".join(map(str, MINIMUM_API))
        raise EngineUnavailable(
            f"the Docker engine is too old: its API is {api_version}, at least {wanted} is needed",
            remedy="install Docker 20.10 or newer",
        )


def _unavailable(cause: str) -> EngineUnavailable:
    if "Permission denied" in cause:
        remedy = "join the group docker (`sudo usermod -aG docker $USER`, then log in again), or run as root"
        return EngineUnavailable("this user may not use the Docker engine", _one_line(cause), remedy)
    return EngineUnavailable(
        "no Docker engine answers", _one_line(cause), "start Docker (`sudo systemctl start docker`), or set DOCKER_HOST"
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns the engine's errors within the block into one HarnessError that begins with `what`."""
    try:
        yield
    except DockerException as error:
        explanation = getattr(error, "explanation", None)
        raise failure(what, explanation if isinstance(explanation, str) else str(error)) from error
    except requests.exceptions.RequestException as error:
        raise _unavailable(str(error)) from error


def failure(what: str, cause: str) -> HarnessError:
    """The error for something that the engine could not do."""
    if _NO_ROOM in cause:
        return HarnessError(
            f"{what}: no room left on the disk",
            _one_line(cause),
            "`harness images rm` removes what the harness built; `docker system df` shows what else takes room",
        )
    if "exec format error" in cause:
        return HarnessError(
            f"{what}: the image is for another architecture than this machine's",
            _one_line(cause),
            "use an image of this machine's architecture",
        )
    return HarnessError(what, _one_line(cause))


def messages(stream: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The parts of an answer that comes bit by bit; a broken connection is an error of the engine.

    Raises:
        DockerException: The connection broke.
    """
    try:
        for message in stream:
            if "error" in message:
                # Who reads it looks no further; the engine's connection is free only after the answer's end.
                with suppress(requests.exceptions.RequestException):  # the error in hand is what counts
                    deque(stream, maxlen=0)
            yield message
    except requests.exceptions.RequestException as error:
        raise DockerException(f"the engine broke off: {error}") from error


def find_image(client: docker.DockerClient, reference: str) -> Image | None:
    """The image of that name or ID on this machine; None when there is none."""
    try:
        with translated(f"cannot look for image {reference}"):
            return client.images.get(reference)
    except HarnessError as error:
        if isinstance(error.__cause__, docker.errors.NotFound):
            return None
        raise


def architecture_of(image: Image) -> str:
    """`amd64` or `arm64`, as the image says."""
    return str(image.attrs["Architecture"])


def engine_architecture(client: docker.DockerClient) -> str:
    """`amd64` or `arm64`: what the engine runs without emulation."""
    with translated("cannot ask the engine for its architecture"):
        return str(client.version()["Arch"])


def _one_line(text: str) -> str:
    # The Go and Python layers below nest their messages; the last 300 characters hold the cause.
    return re.sub(r"\s+", " ", text).strip()[-300:]
