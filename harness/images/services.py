"""The images of the services in a container stack."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import msgspec

from harness.images.bases import LOCALSTACK, MEMCACHED, REGISTRY, SERVICES, Bases
from harness.images.pull import Log, ignore, registries
from harness.images.sources import with_harness
from harness.settings import Settings
from harness.system.private_files import private_folder


@dataclass(frozen=True)
class ServiceImages:
    """The images by ID, so that a later change of a name has no effect.

    Attributes:
        localstack: S3 and STS at port 4566.
        memcached: Memcached at port 11211.
        registry: A container registry at port 5000.
        services: Gateway, moto and configuration endpoint, as `python3 -m ...`.
        names: The name of each, by the attribute.
    """

    localstack: str
    memcached: str
    registry: str
    services: str
    names: dict[str, str]


def service_images(
    client: docker.DockerClient, settings: Settings, *, log: Log, build_output: Log = ignore
) -> ServiceImages:
    """Find, pull or build all images of services; a repeated call is quick.

    Args:
        client: The engine.
        settings: The project's settings.
        log: Called with what the harness itself is about to do, line by line.
        build_output: Called with each line that the engine's builds print.

    Raises:
        BaseUnavailable: An image can neither be pulled nor built on this machine.
        HarnessError: Building an image failed.
    """
    with (
        _one_at_a_time(settings.cache_dir, log),
        registries(client) as reachable,
        with_harness(settings.root) as root,
    ):
        bases = Bases(client, msgspec.structs.replace(settings, root=root), reachable, log, build_output)
        found = {
            "localstack": bases.find(LOCALSTACK),
            "memcached": bases.find(MEMCACHED),
            "registry": bases.find(REGISTRY),
            "services": (SERVICES, bases.make(SERVICES)),
        }
    ids = {key: image_id for key, (_, image_id) in found.items()}
    return ServiceImages(**ids, names={key: name for key, (name, _) in found.items()})


@contextmanager
def _one_at_a_time(folder: Path, log: Log) -> Iterator[None]:
    """Hold a lock, so that concurrent commands do not build the same images; the kernel releases it at death."""
    private_folder(folder)
    with (folder / "images.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("waiting for another command that builds images")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
