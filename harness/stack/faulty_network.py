"""The proxies before Memcached and S3: they inject the faults of a plan, emulate a network, or both.

The Memcacheds themselves are their child processes, and they list them in place of the configuration endpoint.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.guard import HEALTH, SECRET_VARIABLE
from harness.presets.emulated_network import NETWORK_VARIABLE, EmulatedNetwork
from harness.stack.memcached import memcached_command
from harness.stack.service import Service, python_module
from harness.stack.state import Endpoints
from harness.system.cache_names import PORT
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_http, answers_memcached
from harness.system.process_identity import bound_to_parent


def ports_between(caches: Sequence[str], *, faults: bool, network: EmulatedNetwork | None) -> list[str]:
    """Return the names of the ports that the proxies need in addition to those of the services behind them.

    Args:
        caches: The names of the cache's nodes.
        faults: Whether they inject faults.
        network: The network that they emulate; None for this machine's own.
    """
    if not faults and network is None:
        return []
    between = ["real", *(["faulty"] if faults and network else [])]
    return ["network", "proxied_s3", *(f"{place}_{name}" for place in between for name in caches)]


def network_service(
    memcached: Path,
    caches: Sequence[str],
    ports: dict[str, int],
    where: Endpoints,
    directory: Path,
    secret: str,
    *,
    faults: bool,
    network: EmulatedNetwork | None,
) -> Service:
    """Return `harness.network.faults` on the ports `network` (control), `discovery`, `proxied_s3` and of each node.

    Args:
        memcached: The memcached program.
        caches: The names of the cache's nodes.
        ports: The stack's ports by name; see `ports_between`.
        where: The addresses of the stack's services.
        directory: The stack's folder.
        secret: The stack's secret.
        faults: Whether it injects faults.
        network: The network that it emulates; None for this machine's own.
    """
    addresses = [("--control", "network"), ("--discovery", "discovery"), ("--s3", "proxied_s3")]
    for name in caches:
        addresses += [("--memcached", name), ("--cache", f"real_{name}")]
        if faults:
            addresses.append(("--faulty-memcached", f"faulty_{name}" if network is not None else name))
    arguments = [text for flag, name in addresses for text in (flag, f"{LOOPBACK}:{ports[name]}")]
    arguments += ["--real-s3", where.s3, "--gateway", where.lambda_, "--directory", str(directory)]
    command = memcached_command(memcached, PORT)

    def ready() -> bool:
        nodes_answer = all(answers_memcached(ports[name]) for name in [*caches, "discovery"])
        return nodes_answer and answers_http(ports["network"], HEALTH)

    return Service(
        name="network" if network is not None else "faults",
        command=bound_to_parent([*python_module("harness.network.faults"), *arguments, "--", *command]),
        ready=ready,
        # Draws are no linear algebra; a thread for each core would only be started.
        environment={SECRET_VARIABLE: secret, "OPENBLAS_NUM_THREADS": "1", **network_variables(network)},
    )


def network_variables(network: EmulatedNetwork | None) -> dict[str, str]:
    """Return the variable by which a service of the stack knows the emulated network."""
    return {} if network is None else {NETWORK_VARIABLE: msgspec.json.encode(network).decode()}
