"""The entry point `pytest11`: options, marks and fixtures.

pytest imports this module in every run of an environment that has the harness, so it imports nothing else:
the fixtures do, when the first test asks for them.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.pytest_plugin.lambda_logs import LambdaLogs
    from harness.pytest_plugin.lambda_stack import LambdaStack

MARKS = (
    "lambda_container: run this test on a stack of containers; skipped where there is no Docker engine",
    "lambda_reset(after): reset the stack after each 'function' (the default), 'class', 'module' or 'session'",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plug-in."""
    group = parser.getgroup("lambda", "AWS Lambda on this machine (lambda-harness)")
    group.addoption(
        "--lambda-mode",
        choices=["process", "container"],
        default="process",
        help="how the stack of `lambda_stack` runs (default: process)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests of containers a stack of their own."""
    if "lambda_stack" in metafunc.fixturenames and metafunc.definition.get_closest_marker("lambda_container"):
        metafunc.parametrize("lambda_stack", ["container"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def lambda_stack(request: pytest.FixtureRequest) -> "Iterator[LambdaStack]":
    """A Lambda service with AWS's other services around it, on this machine; it is empty when each test begins.

    One stack serves the whole session, under xdist one for each worker, and it is reset after each test that used it.
    """
    from harness.pytest_plugin.session import stack_of_session  # noqa: PLC0415 - see above

    with stack_of_session(request.config, getattr(request, "param", None)) as stack:
        yield stack


@pytest.fixture
def lambda_logs(lambda_stack: "LambdaStack") -> "LambdaLogs":
    """What the functions have logged in this test, as `caplog` has what the test itself has logged."""
    return lambda_stack.logs
