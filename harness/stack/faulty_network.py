"""The proxies that inject the faults of a plan into Memcached and S3; Memcached itself is their child process."""

from pathlib import Path

from harness.guard import HEALTH, SECRET_VARIABLE
from harness.stack.memcached import memcached_service
from harness.stack.service import Service, python_module
from harness.stack.state import Endpoints
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_http, answers_memcached
from harness.system.process_identity import bound_to_parent


def faults_service(memcached: Path, ports: dict[str, int], where: Endpoints, directory: Path, secret: str) -> Service:
    """Return `harness.network.faults` on the ports `faults` (control), `memcached` and `faulty_s3`.

    Args:
        memcached: The memcached program.
        ports: The stack's ports by name.
        where: The addresses of the stack's services.
        directory: The stack's folder.
        secret: The stack's secret.
    """
    addresses = {
        "--control": ports["faults"],
        "--memcached": ports["memcached"],
        "--cache": ports["real_memcached"],
        "--s3": ports["faulty_s3"],
    }
    arguments = [text for flag, port in addresses.items() for text in (flag, f"{LOOPBACK}:{port}")]
    arguments += ["--real-s3", where.s3, "--gateway", where.lambda_, "--directory", str(directory)]
    command = memcached_service(memcached, ports["real_memcached"]).command
    return Service(
        name="faults",
        command=bound_to_parent([*python_module("harness.network.faults"), *arguments, "--", *command]),
        ready=lambda: answers_memcached(ports["memcached"]) and answers_http(ports["faults"], HEALTH),
        environment={SECRET_VARIABLE: secret},
    )
