"""A function of a test module becomes a module of its own, with what it needs and nothing else."""

import importlib.util

import pytest

from harness.runs.module_source import module_of

TEXT = '''
from __future__ import annotations
import json, os
import pytest
try:
    import tomllib as toml
except ImportError:
    toml = None
if os.name == "posix":
    SEP = "/"
else:
    SEP = "\\\\"
RATES = {"de": 19}
RATES["de"] = 20
RATES.update(nl=21)
id = "shadows a builtin"

class Order:
    vat = RATES["de"]

def helper():
    return Order.vat

def unrelated():
    return pytest

@staticmethod
def decorated(event, context):
    return [helper(), SEP, id, json.dumps(toml is None)]

def alone(event, context): return event

class TestIt:
    def test(self):
        def inner(event, context):
            """Of
            two lines."""
            return helper()
        return inner
'''


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The text, imported."""
    path = tmp_path_factory.mktemp("tests") / "test_orders.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("test_orders", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def run(source):
    """What the function of a module returns."""
    names = {}
    exec(compile(source.text, "f.py", "exec"), names)  # noqa: S102 - our own text
    return names[source.function](None, None)


def test_names_are_followed_into_imports_constants_and_helpers(module):
    """Statements within `if` and `try` come along; pytest does not."""
    source = module_of(module.decorated)

    assert [20, "/", "shadows a builtin", "false"] == run(source)
    assert "pytest" not in source.text
    assert ("test_orders", "decorated") == (source.name, source.function)


def test_lines_keep_their_numbers(module):
    """A traceback names the line of the test module."""
    source = module_of(module.decorated)

    place = TEXT.splitlines().index("def helper():")
    assert "def helper():" == source.text.splitlines()[place]


def test_a_function_alone_takes_nothing_along(module):
    """Only the function, and how the file is to be read."""
    lines = [line for line in module_of(module.alone).text.splitlines() if line]

    assert ["from __future__ import annotations", "def alone(event, context): return event"] == lines


def test_a_function_within_a_test_is_unindented(module):
    """It runs at the top of its module."""
    assert 20 == run(module_of(module.TestIt().test()))
