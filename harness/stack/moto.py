"""The moto server: AWS's control plane except Lambda, and optionally S3."""

import sys
from pathlib import Path

from harness import emulation
from harness.emulation.environment import CACHE_ENDPOINT, EVERY_SERVICE, GATEWAY, SNAPSHOTS
from harness.guard import HEALTH, SECRET_VARIABLE
from harness.stack.service import Service
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent

LAUNCHER = Path(emulation.__file__).with_name("moto_server.py")


def moto_service(
    port: int, cache: str, gateway: str, secret: str, *, every_service: bool = False, snapshots: Path | None = None
) -> Service:
    """Return one server for moto's services, run by this environment's Python.

    Args:
        port: The port on which it listens.
        cache: `host:port` of the configuration endpoint that its ElastiCache returns.
        gateway: The URL of the Lambda service, which its FIS tells of experiments.
        secret: The stack's secret.
        every_service: Whether it has all of moto's services, instead of those that runs need.
        snapshots: The folder for the socket by which its state is taken and brought back; None if it never is.
    """
    choices = ({EVERY_SERVICE: "1"} if every_service else {}) | ({SNAPSHOTS: str(snapshots)} if snapshots else {})
    return Service(
        name="moto",
        # -I excludes the launcher's folder from the search path: a file there has the library's name.
        command=bound_to_parent([sys.executable, "-I", LAUNCHER, str(port)]),
        ready=lambda: answers_http(port, HEALTH),
        environment={CACHE_ENDPOINT: cache, GATEWAY: gateway, SECRET_VARIABLE: secret, **choices},
    )
