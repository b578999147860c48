"""The proxies before Memcached and S3: they inject the faults of a plan, emulate a network, or both.

Memcached itself is their child process.
"""

from pathlib import Path

import msgspec

from harness.guard import HEALTH, SECRET_VARIABLE
from harness.presets.emulated_network import NETWORK_VARIABLE, EmulatedNetwork
from harness.stack.memcached import memcached_service
from harness.stack.service import Service, python_module
from harness.stack.state import Endpoints
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_http, answers_memcached
from harness.system.process_identity import bound_to_parent


def ports_between(*, faults: bool, network: EmulatedNetwork | None) -> list[str]:
    """Return the names of the ports that the proxies need in addition to those of the services behind them."""
    if not faults and network is None:
        return []
    return ["network", "real_memcached", "proxied_s3", *(["faulty_memcached"] if faults and network else [])]


def network_service(
    memcached: Path,
    ports: dict[str, int],
    where: Endpoints,
    directory: Path,
    secret: str,
    *,
    faults: bool,
    network: EmulatedNetwork | None,
) -> Service:
    """Return `harness.network.faults` on the ports `network` (control), `memcached` and `proxied_s3`.

    Args:
        memcached: The memcached program.
        ports: The stack's ports by name; see `ports_between`.
        where: The addresses of the stack's services.
        directory: The stack's folder.
        secret: The stack's secret.
        faults: Whether it injects faults.
        network: The network that it emulates; None for this machine's own.
    """
    addresses = {
        "--control": ports["network"],
        "--memcached": ports["memcached"],
        "--cache": ports["real_memcached"],
        "--s3": ports["proxied_s3"],
    }
    if faults:
        addresses["--faulty-memcached"] = ports["faulty_memcached" if network is not None else "memcached"]
    arguments = [text for flag, port in addresses.items() for text in (flag, f"{LOOPBACK}:{port}")]
    arguments += ["--real-s3", where.s3, "--gateway", where.lambda_, "--directory", str(directory)]
    command = memcached_service(memcached, ports["real_memcached"]).command
    return Service(
        name="network" if network is not None else "faults",
        command=bound_to_parent([*python_module("harness.network.faults"), *arguments, "--", *command]),
        ready=lambda: answers_memcached(ports["memcached"]) and answers_http(ports["network"], HEALTH),
        # Draws are no linear algebra; a thread for each core would only be started.
        environment={SECRET_VARIABLE: secret, "OPENBLAS_NUM_THREADS": "1", **network_variables(network)},
    )


def network_variables(network: EmulatedNetwork | None) -> dict[str, str]:
    """Return the variable by which a service of the stack knows the emulated network."""
    return {} if network is None else {NETWORK_VARIABLE: msgspec.json.encode(network).decode()}
