"""Services in containers for tests, by testcontainers: started, waited for, removed."""

import os
import socket
from contextlib import closing, contextmanager, suppress

# The reaper is one more image to pull; what a killed test session leaves carries the label instead.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from docker.errors import ImageNotFound
from testcontainers.core.config import ConnectionMode
from testcontainers.core.container import DockerContainer

from harness.system.probes import wait_until

LABEL = {"lambda-harness": "test"}
READY_WITHIN_S = 60


@contextmanager
def running(image, port, *, command=None, greeting=b"", engine_side=False, environment=None):
    """A service in a container as bare as the services of a stack.

    Args:
        image: What it runs.
        port: Where it listens inside.
        command: Its command line; None for the image's own.
        greeting: What it answers to; it is ready once it does.
        environment: Its variables.
        engine_side: Whether the engine is to reach it, as it does a registry, and not the tests.

    Yields:
        `host:port`, where the tests, or the engine, reach it.
    """
    container = DockerContainer(image).with_command(command).with_tmpfs_mount("/tmp", "size=64m")  # noqa: S108
    container.with_envs(**(environment or {}))
    container.with_kwargs(
        labels=LABEL, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"], detach=True
    )
    # An engine takes a registry without a certificate on its own loopback interface only.
    interface = "127.0.0.1" if engine_side else _interface_for_tests(container.get_docker_client())
    container.ports[str(port)] = (interface, None)
    with container:
        host = interface if engine_side else container.get_container_host_ip()
        number = int(container.get_exposed_port(port))
        assert wait_until(lambda: _answers(host, number, greeting), READY_WITHIN_S), container.get_logs()
        yield f"{host}:{number}"


def _interface_for_tests(client):
    """The loopback interface; where the tests themselves run in a container, all that the engine's machine has."""
    if client.get_connection_mode() is ConnectionMode.docker_host and client.host() == "localhost":
        return "127.0.0.1"
    return "0.0.0.0"  # noqa: S104


def _answers(host, port, greeting):
    try:
        with closing(socket.create_connection((host, port), timeout=1)) as connection:
            connection.sendall(greeting)
            return bool(connection.recv(1))
    except OSError:
        return False


def forget_name(engine, name):
    """Takes a name of an image away; the layers stay as the next build's cache."""
    with suppress(ImageNotFound):
        engine.images.remove(name, noprune=True)
