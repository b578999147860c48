"""Hooks around each test: the reset after it, and the functions' logs in the report of one that failed."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError

if TYPE_CHECKING:
    from _pytest.nodes import Node

    from harness.pytest_plugin.lambda_stack import LambdaStack

# From the narrowest; each has an end for every test in it but the last of a wider one.
SCOPES = ("function", "class", "module", "package", "session")
RESETS = ("function", "class", "module", "session")
OWN_FIXTURES = {"lambda_stack", "lambda_logs"}


class Hooks:
    """pytest's hooks.

    Attributes:
        stacks: The stacks that run.
    """

    def __init__(self) -> None:
        self.stacks: list[LambdaStack] = []
        self._in_setup: list[tuple[str, str, str]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Know which fixture is being set up, so that one whose work would be erased too early is refused."""
        item = getattr(request, "_pyfuncitem", request.node)
        self._in_setup.append((fixturedef.argname, fixturedef.scope, reset_scope(item)))
        try:
            return (yield)
        finally:
            self._in_setup.pop()

    def check_scope(self) -> None:
        """Check that what a fixture does to the stack now lasts as long as the fixture.

        Raises:
            HarnessError: The stack is reset before the fixture's end.
        """
        for name, scope, reset_after in self._in_setup:
            if name not in OWN_FIXTURES and SCOPES.index(scope) > SCOPES.index(reset_after):
                raise HarnessError(
                    f"the fixture {name} of scope {scope!r} uses the stack, which is reset after each {reset_after}",
                    "what it makes would be gone for the next test",
                    f"give the fixture the scope {reset_after!r}, or the tests the mark lambda_reset({scope!r})",
                )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show the logs of the functions that a failed test has used."""
        report = yield
        if report.failed:
            for stack in self.stacks:
                if stack.used and (text := _log_of(stack)):
                    report.sections.append((f"Captured Lambda log {call.when}", text))
        del item
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
        """Reset the stacks after the test's own fixtures have been torn down."""
        try:
            yield
        finally:
            scope = reset_scope(item)
            if nextitem is not None and is_last_of(scope, item, nextitem):
                for stack in self.stacks:
                    if stack.used:
                        stack.reset()


def reset_scope(item: "pytest.Item | Node") -> str:
    """Return after what the stack is reset: the argument of the mark `lambda_reset`.

    Raises:
        HarnessError: It is none of pytest's scopes.
    """
    mark = item.get_closest_marker("lambda_reset")
    if mark is None:
        return SCOPES[0]
    words: Sequence[object] = (*mark.args, *mark.kwargs.values())
    if len(words) != 1 or words[0] not in RESETS:
        raise HarnessError(
            f"the mark lambda_reset has the arguments {mark.args or mark.kwargs!r}",
            item.nodeid,
            f"give it one of {', '.join(map(repr, RESETS))}",
        )
    return str(words[0])


def is_last_of(scope: str, item: pytest.Item, nextitem: pytest.Item) -> bool:
    """Return whether the next test lies in another function, class, module or session."""
    if scope == "function":
        return True
    if scope == "session":
        return False
    kind = pytest.Class if scope == "class" else pytest.Module
    own, other = item.getparent(kind), nextitem.getparent(kind)
    return own is not other or own is None


def _log_of(stack: "LambdaStack") -> str:
    try:
        return stack.logs.text.rstrip("\n")
    except Exception as error:  # noqa: BLE001 - a report of a failure must not fail itself
        return f"(the log cannot be read: {error})"
