"""Single services for integration tests: of a stack of processes, or containers of the tests' own."""

from collections.abc import Iterator

import pytest

from harness.stack.state import Mode

MEMCACHED_PORT, DISCOVERY_PORT, S3_PORT = 11211, 11212, 4566


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
    with running(images.localstack, S3_PORT, greeting=b"GET /_localstack/health HTTP/1.0\r\n\r\n") as address:
        yield f"http://{address}"


def _containers(request: pytest.FixtureRequest):
    # What containers take is imported where containers are used.
    from harness.images import service_images  # noqa: PLC0415
    from tests.support.containers import running  # noqa: PLC0415

    engine, settings = request.getfixturevalue("engine"), request.getfixturevalue("settings")
    return service_images(engine, settings, log=print), running
