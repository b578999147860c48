"""Single services for integration tests: of a stack of processes, or containers of the tests' own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from harness.guard import SECRET_VARIABLE, new_secret, own_key
from harness.settings import GatewaySettings, Settings
from harness.stack import StackState, start_private_stack
from harness.stack.state import Mode
from tests.support.gateway import Service

MEMCACHED_PORT, DISCOVERY_PORT, S3_PORT = 11211, 11212, 4566
SECRET = new_secret()


@pytest.fixture(scope="session")
def memcached_address(request: pytest.FixtureRequest, mode: Mode) -> Iterator[str]:
    """`host:port` of a Memcached node."""
    if mode == "process":
        yield request.getfixturevalue("stack").endpoints.memcached
        return
    images, running = _containers(request)
    with running(images.memcached, MEMCACHED_PORT, greeting=b"version\r\n") as address:
        yield address


@pytest.fixture(scope="session")
def discovery_address(request: pytest.FixtureRequest, mode: Mode, memcached_address: str) -> Iterator[str]:
    """`host:port` of a configuration endpoint that lists that node."""
    if mode == "process":
        yield request.getfixturevalue("stack").endpoints.discovery
        return
    images, running = _containers(request)
    module = ["python3", "-m", "harness.network"]
    flags = ["--listen", f"0.0.0.0:{DISCOVERY_PORT}", "--node", memcached_address]
    with running(images.services, DISCOVERY_PORT, command=[*module, *flags], greeting=b"version\r\n") as address:
        yield address


@pytest.fixture(scope="session")
def s3_endpoint(request: pytest.FixtureRequest, mode: Mode) -> Iterator[str]:
    """The URL of an S3."""
    if mode == "process":
        yield request.getfixturevalue("stack").endpoints.s3
        return
    images, running = _containers(request)
    greeting = b"GET /_localstack/health HTTP/1.0\r\n\r\n"
    environment = {SECRET_VARIABLE: SECRET}
    with running(images.localstack, S3_PORT, greeting=greeting, environment=environment) as address:
        yield f"http://{address}"


@pytest.fixture(scope="session")
def forked(settings: Settings, mode: Mode) -> Iterator[Service]:
    """A gateway that forks."""
    if mode == "container":
        pytest.skip("environments are forked in process mode only")
    with start_private_stack(settings, s3="moto") as stack:
        yield Service(stack)


@pytest.fixture(scope="session")
def fresh(settings: Settings, forked: Service) -> Iterator[Service]:  # noqa: ARG001 - skips where that one does
    """A gateway that does not."""
    gateway = msgspec.structs.replace(settings.gateway, fork=False)
    with start_private_stack(msgspec.structs.replace(settings, gateway=gateway), s3="moto") as stack:
        yield Service(stack)


@pytest.fixture(scope="session")
def hasty(settings: Settings) -> Iterator[StackState]:
    """A stack whose retries do not take minutes, and whose account a test may change."""
    hasty = msgspec.structs.replace(settings, gateway=GatewaySettings(retry_time_scale=0.001))
    with start_private_stack(hasty, s3="moto") as state:
        yield state


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a folder with one module of that text."""

    def write_module(name: str, text: str) -> Path:
        (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    return write_module


@pytest.fixture(scope="session")
def s3_key(request: pytest.FixtureRequest, mode: Mode) -> str:
    """The access key that this S3 knows."""
    if mode == "process":
        return str(request.getfixturevalue("stack").endpoints.access_key)
    return own_key(SECRET)


def _containers(request: pytest.FixtureRequest):
    # What containers take is imported where containers are used.
    from harness.images.services import service_images  # noqa: PLC0415
    from tests.support.containers import running  # noqa: PLC0415

    engine, settings = request.getfixturevalue("engine"), request.getfixturevalue("settings")
    return service_images(engine, settings, log=print), running
