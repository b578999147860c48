"""The moto server: AWS's control plane beside Lambda, and S3 on request."""

import sys
from pathlib import Path

from harness import emulation
from harness.emulation.environment import CACHE_ENDPOINT
from harness.guard import HEALTH, SECRET_VARIABLE
from harness.stack.service import Service
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent

LAUNCHER = Path(emulation.__file__).with_name("moto_server.py")


def moto_service(port: int, cache: str, secret: str) -> Service:
    """One server for all of its services, by this environment's moto.

    Args:
        port: Where it listens.
        cache: `host:port` of the configuration endpoint that its ElastiCache names.
        secret: The stack's.
    """
    return Service(
        name="moto",
        # -I: the launcher's folder, where a file is named as the library, is not searched.
        command=bound_to_parent([sys.executable, "-I", LAUNCHER, str(port)]),
        ready=lambda: answers_http(port, HEALTH),
        environment={CACHE_ENDPOINT: cache, SECRET_VARIABLE: secret},
    )
