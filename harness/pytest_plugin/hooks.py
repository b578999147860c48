"""Hooks around each test: the reset after it, and the functions' logs in the report of one that failed."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.pytest_plugin.lambda_stack import LambdaStack

# From the narrowest; each has an end for every test in it but the last of a wider one.
SCOPES = ("function", "class", "module", "session")


class Hooks:
    """pytest's hooks.

    Attributes:
        stacks: The stacks that run.
    """

    def __init__(self) -> None:
        self.stacks: list[LambdaStack] = []

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


def reset_scope(item: pytest.Item) -> str:
    """Return after what the stack is reset: the argument of the mark `lambda_reset`.

    Raises:
        HarnessError: It is none of pytest's scopes.
    """
    mark = item.get_closest_marker("lambda_reset")
    if mark is None:
        return SCOPES[0]
    words: Sequence[object] = (*mark.args, *mark.kwargs.values())
    if len(words) != 1 or words[0] not in SCOPES:
        raise HarnessError(
            f"the mark lambda_reset has the arguments {mark.args or mark.kwargs!r}",
            item.nodeid,
            f"give it one of {', '.join(map(repr, SCOPES))}",
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
