"""What all tests share: the project's settings and one private stack per test session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.settings import Settings, load_settings
from harness.stack import StackState, start_private_stack


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the choice of what plays S3."""
    parser.addoption(
        "--s3", choices=["localstack", "moto"], default="localstack", help="what plays S3 in the stack of the tests"
    )


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the project itself."""
    return load_settings(Path(__file__).parent)


@pytest.fixture(scope="session")
def stack(settings: Settings, pytestconfig: pytest.Config) -> Iterator[StackState]:
    """A stack for this session's tests; under xdist each worker has its own."""
    with start_private_stack(settings, s3=pytestconfig.getoption("--s3")) as state:
        yield state
