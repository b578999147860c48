"""The configuration endpoint, which lists the memcached node as ElastiCache's does."""

from harness.stack.service import Service, python_module
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_memcached
from harness.system.process_identity import bound_to_parent


def discovery_service(port: int, memcached_port: int) -> Service:
    """Return `harness.network`, listing one node."""
    arguments = ["--listen", f"{LOOPBACK}:{port}", "--node", f"{LOOPBACK}:{memcached_port}"]
    return Service(
        name="discovery",
        command=bound_to_parent([*python_module("harness.network"), *arguments]),
        ready=lambda: answers_memcached(port),
        restarts=True,
    )
