"""LocalStack's S3 in host mode: without Docker, in a Python environment of its own."""

from pathlib import Path

from harness.errors import HarnessError
from harness.guard import SECRET_VARIABLE, own_key
from harness.stack.service import Service
from harness.system.clone import PROJECT
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent

# S3 and STS only; nothing is fetched from or sent to anywhere.
SETTINGS = {
    "SERVICES": "s3,sts",
    "STRICT_SERVICE_LOADING": "1",
    "EAGER_SERVICE_LOADING": "1",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "LS_LOG": "warning",
}
# Run by LocalStack's published image, which has a launcher of its own.
START_SCRIPT = Path(__file__).with_name("localstack_start.py")
LAUNCHER = Path(__file__).with_name("localstack_launcher.py")


def find_localstack() -> Path:
    """The Python of LocalStack's environment.

    Raises:
        HarnessError: The environment is not there.
    """
    python = PROJECT / ".venv-localstack" / "bin" / "python"
    if not python.exists():
        raise HarnessError("LocalStack is not installed", f"looked for {python}", "run `make setup`, or use --s3 moto")
    return python


def localstack_service(python: Path, port: int, directory: Path, secret: str) -> Service:
    """Return S3 and STS only, with all that they write below `directory`; `secret` is the stack's."""
    return Service(
        name="localstack",
        # -I: the launcher's folder, where a file is named as the library, is not searched.
        command=bound_to_parent([python, "-I", LAUNCHER, directory / "s3"]),
        ready=lambda: answers_http(port, "/_localstack/health", own_key(secret)),
        environment={
            "GATEWAY_LISTEN": f"{LOOPBACK}:{port}",
            "LOCALSTACK_HOST": f"localhost:{port}",
            "FILESYSTEM_ROOT": str(directory / "localstack"),
            # Where it believes to be in a container, it puts its files into system folders.
            "OVERRIDE_IN_DOCKER": "0",
            SECRET_VARIABLE: secret,
            **SETTINGS,
        },
    )
