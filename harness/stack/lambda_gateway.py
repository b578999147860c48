"""The Lambda service as a child process of the stack."""

from pathlib import Path

from harness.guard import HEALTH, SECRET_VARIABLE
from harness.settings import GatewaySettings
from harness.stack.service import Service, python_module
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent


def gateway_service(
    port: int,
    directory: Path,
    s3_endpoint: str,
    aws_endpoint: str,
    rie: Path,
    settings: GatewaySettings,
    secret: str,
    debugpy: Path,
) -> Service:
    """Return `harness.gateway`, which stores its data in `directory`; `secret` is the stack's."""
    arguments = ["--port", str(port), "--directory", str(directory)]
    arguments += ["--s3-endpoint", s3_endpoint, "--aws-endpoint", aws_endpoint, "--rie", str(rie)]
    arguments += ["--account-concurrency", str(settings.account_concurrency)]
    arguments += ["--retry-time-scale", str(settings.retry_time_scale)]
    arguments += ["--idle-timeout-s", str(settings.idle_timeout_s), "--fork" if settings.fork else "--no-fork"]
    arguments += ["--debugpy", str(debugpy)]
    return Service(
        name="gateway",
        command=bound_to_parent([*python_module("harness.gateway"), *arguments]),
        ready=lambda: answers_http(port, HEALTH),
        environment={SECRET_VARIABLE: secret},
        stops_gently=True,
    )
