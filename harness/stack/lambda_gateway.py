"""The Lambda service as a child process of the stack."""

from pathlib import Path

from harness.guard import HEALTH, SECRET_VARIABLE
from harness.settings import GatewaySettings
from harness.stack.service import Service, python_module
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent


def gateway_service(  # noqa: PLR0913 - one for each flag
    port: int,
    directory: Path,
    s3_endpoint: str,
    aws_endpoint: str,
    *,
    rie: Path,
    cache: Path,
    settings: GatewaySettings,
    secret: str,
    debugpy: Path,
    variables: dict[str, str],
    functions_use: str = "",
) -> Service:
    """Return `harness.gateway`, which stores its data in `directory`.

    Args:
        port: The port to listen on.
        directory: The folder for its data.
        s3_endpoint: Where functions find S3.
        aws_endpoint: Where functions find the other services.
        rie: The RIE binary.
        cache: The user's cache folder.
        settings: How it works.
        secret: The stack's secret.
        debugpy: The folder of debugpy.
        variables: Further environment variables; functions do not get them.
        functions_use: Where functions find all services instead; empty if they find them where they are.
    """
    arguments = ["--port", str(port), "--directory", str(directory)]
    arguments += ["--s3-endpoint", s3_endpoint, "--aws-endpoint", aws_endpoint]
    arguments += ["--rie", str(rie), "--cache", str(cache)]
    arguments += ["--account-concurrency", str(settings.account_concurrency)]
    arguments += ["--retry-time-scale", str(settings.retry_time_scale)]
    arguments += ["--idle-timeout-s", str(settings.idle_timeout_s), "--fork" if settings.fork else "--no-fork"]
    arguments += ["--routing-seed", str(settings.routing_seed)]
    arguments += ["--zones", str(settings.zones)]
    arguments += [] if settings.isolate else ["--no-isolate"]
    arguments += ["--functions-use", functions_use] if functions_use else []
    arguments += ["--state-delay-s", str(settings.state_delay_s), "--debugpy", str(debugpy)]
    return Service(
        name="gateway",
        command=bound_to_parent([*python_module("harness.gateway"), *arguments]),
        ready=lambda: answers_http(port, HEALTH),
        environment={SECRET_VARIABLE: secret, **variables},
        stops_gently=True,
    )
