"""LocalStack's S3 in host mode: without Docker, in a separate Python environment."""

from pathlib import Path

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.guard import SECRET_VARIABLE, own_key
from harness.stack.service import Service
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent

# S3 and STS only, without any network traffic to the outside.
SETTINGS = {
    "SERVICES": "s3,sts",
    "STRICT_SERVICE_LOADING": "1",
    "EAGER_SERVICE_LOADING": "1",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "LS_LOG": "warning",
}
# LocalStack's published image has its own launcher, and runs this script instead.
START_SCRIPT = Path(__file__).with_name("localstack_start.py")
LAUNCHER = Path(__file__).with_name("localstack_launcher.py")


def find_localstack() -> Path:
    """Return the Python of LocalStack's environment.

    Raises:
        HarnessError: The environment does not exist.
    """
    python = BUNDLE / ".venv-localstack" / "bin" / "python"
    if not python.exists():
        raise HarnessError("LocalStack is not installed", f"looked for {python}", "run `make setup`, or use --s3 moto")
    return python


def localstack_service(python: Path, port: int, directory: Path, secret: str) -> Service:
    """Return LocalStack with S3 and STS only, writing only below `directory`; `secret` is the stack's."""
    return Service(
        name="localstack",
        # -I excludes the launcher's folder from the search path: a file there has the library's name.
        command=bound_to_parent([python, "-I", LAUNCHER, directory / "s3"]),
        ready=lambda: answers_http(port, "/_localstack/health", own_key(secret)),
        environment={
            "GATEWAY_LISTEN": f"{LOOPBACK}:{port}",
            "LOCALSTACK_HOST": f"localhost:{port}",
            "FILESYSTEM_ROOT": str(directory / "localstack"),
            # If LocalStack believed that it ran in a container, it would write into system folders.
            "OVERRIDE_IN_DOCKER": "0",
            SECRET_VARIABLE: secret,
            **SETTINGS,
        },
    )
