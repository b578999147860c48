"""The moto server: AWS's control plane beside Lambda, and S3 on request."""

import sys
from pathlib import Path

from harness.guard import HEALTH, SECRET_VARIABLE
from harness.processes import bound_to_parent
from harness.stack.probes import answers_http
from harness.stack.service import Service

LAUNCHER = Path(__file__).with_name("moto_launcher.py")


# What `moto_plugin` is told by its environment: `host:port` of the configuration endpoint as functions see it, and the
# URL of the registry in which the images of ECR lie.
CACHE_ENDPOINT = "HARNESS_CACHE_ENDPOINT"
REGISTRY = "HARNESS_REGISTRY"


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
