"""A gateway reports what functions print and how their invocations end, at once."""

import json
import uuid
from contextlib import closing

import httpx
import pytest

from harness.aws.clients import clients_for
from harness.gateway.feed import FEED, INVOCATIONS
from harness.guard import authorization
from tests.support.functions import ROLE, code_arguments, handlers_image

WITHIN_S = 60


@pytest.fixture
def function(stack, mode, tmp_path, request):
    """A function that prints lines, or raises, as its event says; deleted after the test."""
    client, names = clients_for(stack.endpoints).functions, []

    def create(behaviour, image=None):
        name = f"feed-{uuid.uuid4().hex[:8]}"
        client.create_function(
            FunctionName=name, Role=ROLE, Timeout=30, MemorySize=256, **code_arguments(behaviour, image)
        )
        names.append(name)
        return client, name

    def delete():
        for name in names:
            client.delete_function(FunctionName=name)

    if mode == "process":
        yield create
        delete()
        return
    request.getfixturevalue("engine")
    with handlers_image(tmp_path) as image:
        yield lambda behaviour: create(behaviour, image)
        delete()  # their containers keep the image


def ask(stack, path, key=None):
    """A connection to one of the gateway's own routes."""
    headers = authorization(key or stack.endpoints.access_key)
    return httpx.stream("GET", f"{stack.endpoints.lambda_}{path}", headers=headers, timeout=WITHIN_S, trust_env=False)


def records_until(lines, names, count):
    """The records about these functions, up to the `count`-th invocation that ended."""
    found = []
    for line in lines:
        record = json.loads(line) if line else {}
        if record.get("function") in names:
            found.append(record)
        if count == sum(one["type"] == "invocation" for one in found):
            return found
    raise AssertionError(found)


def test_lines_and_ends_arrive_in_order_and_at_once(stack, function):
    """Each invocation's lines come before its end, which says what REPORT says, and whether it failed."""
    client, failing = function("raise_error")
    _, printing = function("print_lines")
    with ask(stack, FEED) as answer, closing(answer.iter_lines()) as lines:
        assert "" == next(lines)
        for name in (failing, printing, printing):
            client.invoke(FunctionName=name, Payload=b'{"lines": ["one", "two"]}')
        found = records_until(lines, (failing, printing), 3)

    text = "".join(one["text"] for one in found if one["type"] == "lines")
    ends = [one for one in found if one["type"] == "invocation"]
    assert 3 == text.count("\nREPORT RequestId: ")
    assert "invocation" == found[-1]["type"]
    assert [failing, printing, printing] == [one["function"] for one in ends]
    assert ["", ""] == [one["error"] for one in ends[1:]]
    assert ends[0]["error"]
    assert [True, True, False] == [one["init_ms"] is not None for one in ends]
    for one in ends:
        assert f"REPORT RequestId: {one['request_id']}\tDuration: {one['duration_ms']:.2f} ms" in text
        assert f"Billed Duration: {one['billed_ms']} ms" in text
        assert 256 == one["memory_mb"]


def test_the_last_invocations_have_their_events(stack, function):
    """In the order of their ends; only the stack's own key may ask."""
    client, name = function("echo")
    for number in range(2):
        client.invoke(FunctionName=name, Payload=json.dumps({"number": number, "text": "ü"}))

    with ask(stack, INVOCATIONS) as answer:
        answer.read()
    with ask(stack, INVOCATIONS, "nobody") as refused:
        refused.read()

    kept = [one for one in answer.json() if one["function"] == name]
    assert [{"number": 0, "text": "ü"}, {"number": 1, "text": "ü"}] == [json.loads(one["payload"]) for one in kept]
    assert kept[0]["number"] < kept[1]["number"]
    assert 403 == refused.status_code
