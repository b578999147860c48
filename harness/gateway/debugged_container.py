"""A function's container under a debugger: debugpy's folder is mounted, and a relay makes its port reachable.

    127.0.0.1:5678 --engine--> relay container --functions' network--> the function's container, port 5678

The relay is in both networks, as the stack's services are; the function's container stays in its own.
"""

import os
import socket
from pathlib import Path

from docker import DockerClient
from docker.models.containers import Container
from docker.models.images import Image
from docker.types import Mount

from harness.gateway.debug_records import Debugger
from harness.gateway.sandbox import debugger_variables

# Of the function's container, and of the relay.
PORT = 5678
# Where the folder is within the function's container.
FOLDER = "/opt/harness-debugpy"
# debugpy and its adapter, on top of what the function may use.
DEBUGGER_MB = 128
_RELAY_MB = 64


def debug_options(debugger: Debugger, folder: Path | None, image: Image) -> tuple[dict[str, str], list[Mount]]:
    """Return what a function's container needs in addition: environment variables and mounts.

    Args:
        debugger: The debugger.
        folder: debugpy's folder on the engine's machine.
        image: The function's image.
    """
    variables = image.attrs["Config"].get("Env") or []
    own = next((line.partition("=")[2] for line in variables if line.startswith("PYTHONPATH=")), "")
    environment = debugger_variables(debugger, "0.0.0.0", PORT, Path(FOLDER))  # noqa: S104 - of a container
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (FOLDER, own)))
    return environment, [Mount(FOLDER, str(folder), type="bind", read_only=True)]


def start_relay(
    client: DockerClient, functions: str, labels: dict[str, str], debugger: Debugger, target: str
) -> Container:
    """Start the relay to a function's container, from the gateway's own image, and return it.

    Args:
        client: The engine.
        functions: The functions' network.
        labels: The labels by which a clean-up finds the relay.
        debugger: The debugger; its port is that on the loopback interface.
        target: The address of the function's container.
    """
    gateway = client.containers.get(socket.gethostname())
    (published,) = set(gateway.attrs["NetworkSettings"]["Networks"]) - {functions}
    container = client.containers.create(
        gateway.image.id,
        command=["python3", "-m", "harness.gateway.relay", str(PORT), target, str(PORT)],
        labels=labels,
        network=published,
        ports={f"{PORT}/tcp": ("127.0.0.1", debugger.port)},
        mem_limit=f"{_RELAY_MB}m",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    try:
        client.networks.get(functions).connect(container)
        container.start()
        container.reload()
    except BaseException:
        container.remove(force=True)
        raise
    return container


def relay_address(relay: Container, functions: str) -> str:
    """Return `host:port` of a relay within the functions' network."""
    return f"{relay.attrs['NetworkSettings']['Networks'][functions]['IPAddress']}:{PORT}"
