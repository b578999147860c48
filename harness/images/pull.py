"""Pull published images, and fail quickly if a registry is unreachable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker
import requests
from docker.models.images import Image

from harness.errors import HarnessError
from harness.system.engine import BaseUnavailable, connect, find_image, translated

# A registry that does not return an image's digest within this time counts as unreachable.
ANSWER_WITHIN_S = 10

Log = Callable[[str], None]


def ignore(line: str) -> None:
    """Discard a line, for callers that want no log."""


class Registries:
    """The registries that an engine can reach; a registry that timed out once is not tried again.

    Args:
        client: A client of the engine, for pulls.
        asking: A client of the same engine with a short timeout, for probes.
    """

    def __init__(self, client: docker.DockerClient, asking: docker.DockerClient) -> None:
        self._client = client
        self._asking = asking
        self._silent: set[str] = set()

    def find_or_pull(self, reference: str, architecture: str | None = None, *, log: Log = ignore) -> Image:
        """Return the image from this machine; pull it if necessary.

        Args:
            reference: The image's name with a tag.
            architecture: `amd64` or `arm64`; None for the engine's own.
            log: Called before an image is pulled.

        Raises:
            BaseUnavailable: The image is not on this machine and cannot be pulled.
            HarnessError: The disk is full.
        """
        return find_image(self._client, reference) or self._pull(reference, architecture, log)

    def _pull(self, reference: str, architecture: str | None, log: Log) -> Image:
        repository, tag = docker.utils.parse_repository_tag(reference)
        registry = docker.auth.resolve_repository_name(repository)[0]
        silence = f"{registry} does not answer within {ANSWER_WITHIN_S} s"
        if registry in self._silent:
            raise _unavailable(reference, silence)
        try:
            with translated(f"{reference} cannot be pulled"):
                # On a dead network the engine retries a pull for minutes; this probe makes one request.
                self._asking.images.get_registry_data(reference)
                log(f"pulling {reference}")
                platform = f"linux/{architecture}" if architecture else None
                return self._client.images.pull(repository, tag=tag, platform=platform)
        except HarnessError as error:
            if "no room" in error.what:
                raise
            if isinstance(error.__cause__, requests.exceptions.Timeout):
                self._silent.add(registry)
                raise _unavailable(reference, silence) from error
            raise _unavailable(reference, error.where) from error


@contextmanager
def registries(client: docker.DockerClient) -> Iterator[Registries]:
    """Yield the registries that this engine can reach, for the duration of the block."""
    asking = connect(timeout_s=ANSWER_WITHIN_S)
    try:
        yield Registries(client, asking)
    finally:
        asking.close()


def _unavailable(reference: str, cause: str) -> BaseUnavailable:
    remedy = "check the network, name another one (--base), or run `harness images bases`"
    return BaseUnavailable(f"{reference} cannot be pulled", cause, remedy)
