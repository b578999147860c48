"""The function as Lambda runs it: packaged, created and invoked on a stack of this machine."""

import json
from pathlib import Path

import pytest

EVENTS = Path(__file__).parents[1] / "events"


@pytest.fixture
def hello(lambda_stack):
    """The function as harness.toml declares it."""
    return lambda_stack.deploy("hello")


def test_it_greets_by_name(hello):
    """The name is the event's."""
    event = json.loads((EVENTS / "hello.json").read_text())

    assert hello.invoke(event).payload == {"message": "Hello, Ada!"}


def test_without_a_name_it_greets_the_world(hello):
    """No key of the event is needed."""
    assert hello.invoke({}).payload == {"message": "Hello, world!"}
