"""The configuration endpoint, which lists the cache's nodes as ElastiCache's does.

Where proxies are in front of the nodes, their process answers in its place: it may replace nodes.
"""

from collections.abc import Iterable

from harness.stack.service import Service, python_module
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_memcached
from harness.system.process_identity import bound_to_parent


def discovery_service(port: int, memcached_ports: Iterable[int]) -> Service:
    """Return `harness.network`, listing the nodes on these ports."""
    arguments = ["--listen", f"{LOOPBACK}:{port}"]
    arguments += [text for node in memcached_ports for text in ("--node", f"{LOOPBACK}:{node}")]
    return Service(
        name="discovery",
        command=bound_to_parent([*python_module("harness.network"), *arguments]),
        ready=lambda: answers_memcached(port),
        restarts=True,
    )
