"""When the pytest plug-in resets a stack."""

from types import SimpleNamespace

import pytest

from harness.errors import HarnessError
from harness.pytest_plugin.hooks import is_last_of, reset_scope


def item(*arguments, parents=()):
    """A test with the mark `lambda_reset`, if there are arguments, below these collectors."""
    mark = SimpleNamespace(args=arguments, kwargs={}) if arguments else None
    return SimpleNamespace(
        nodeid="test_it.py::test",
        get_closest_marker=lambda _: mark,
        getparent=lambda kind: next((node for kind_, node in parents if kind_ is kind), None),
    )


@pytest.mark.parametrize(("arguments", "scope"), [((), "function"), (("class",), "class"), (("session",), "session")])
def test_the_mark_says_when(arguments, scope):
    """Without it, after each test."""
    assert scope == reset_scope(item(*arguments))


@pytest.mark.parametrize("arguments", [("modul",), ("class", "module"), ("package",)])
def test_a_scope_that_there_is_not_is_refused(arguments):
    """The message lists the scopes."""
    with pytest.raises(HarnessError, match="give it one of 'function', 'class', 'module', 'session'"):
        reset_scope(item(*arguments))


def test_the_last_test_of_a_module_is_followed_by_another_module():
    """Two tests of one class are in one module, too."""
    here, there = object(), object()
    one, two = item(parents=[(pytest.Module, here)]), item(parents=[(pytest.Module, there)])

    assert is_last_of("module", one, two)
    assert not is_last_of("module", one, one)
    assert is_last_of("function", one, one)
    assert not is_last_of("session", one, two)
    assert is_last_of("class", one, one)  # a test without a class
