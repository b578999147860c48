"""A gateway reports what functions print and how their invocations end, at once."""

import json
import time
import uuid
from contextlib import closing

import httpx
import pytest

from harness.aws.clients import clients_for
from harness.gateway.feed import FEED
from harness.gateway.observation import ENVIRONMENTS, INVOCATIONS, METRICS
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


def answer_of(stack, path, key=None):
    """The answer of one of the gateway's own routes."""
    with ask(stack, path, key) as answer:
        answer.read()
    return answer


def records_until(lines, names, count):
    """The records about these functions, up to the `count`-th attempt that ended."""
    found = []
    for line in lines:
        record = json.loads(line) if line else {}
        if record.get("function") in names:
            found.append(record)
        if count == sum(one.get("ended_at") is not None for one in found):
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
    ends = [one for one in found if one.get("ended_at")]
    states = [one["state"] for one in found if one["type"] == "invocation" and one["function"] == failing]
    assert 3 == text.count("\nREPORT RequestId: ")
    assert "invocation" == found[-1]["type"]
    assert ["queued", "running", "running", "failed"] == states
    assert {one["request_id"] for one in ends} == {
        one["request_id"] for one in found if one["type"] == "lines" and "REPORT" in one["text"]
    }
    assert [failing, printing, printing] == [one["function"] for one in ends]
    assert ["", ""] == [one["error"] for one in ends[1:]]
    assert ends[0]["error"]
    assert [True, True, False] == [one["init_ms"] is not None for one in ends]
    for one in ends:
        assert f"REPORT RequestId: {one['request_id']}\tDuration: {one['duration_ms']:.2f} ms" in text
        assert f"Billed Duration: {one['billed_ms']} ms" in text
        assert 256 == one["memory_mb"]


def test_the_last_invocations_have_their_events_and_answers(stack, function):
    """In the order of their acceptance, as a list or one of them; only the stack's own key may ask."""
    client, name = function("echo")
    for number in range(2):
        client.invoke(FunctionName=name, Payload=json.dumps({"number": number, "text": "ü"}))

    kept = [one for one in answer_of(stack, INVOCATIONS).json() if one["function"] == name]
    last = kept[-1]
    later = answer_of(stack, f"{INVOCATIONS}?since={kept[0]['number']}&brief=1").json()
    one = answer_of(stack, f"{INVOCATIONS}/{last['number']}").json()
    none = answer_of(stack, f"{INVOCATIONS}/{10**9}")
    refused = answer_of(stack, INVOCATIONS, "nobody")

    assert [{"number": 0, "text": "ü"}, {"number": 1, "text": "ü"}] == [json.loads(one["payload"]) for one in kept]
    assert [True, False] == [one["cold"] for one in kept]
    assert 1 == len({one["environment"] for one in kept})
    assert kept[0]["number"] < last["number"]
    assert last == one
    assert last["queued_at"] <= last["started_at"] <= last["ended_at"]
    assert last["request_id"] in last["answer"]
    assert [(last["number"], "", "")] == [
        (one["number"], one["payload"], one["answer"]) for one in later if one["function"] == name
    ]
    assert (404, 403) == (none.status_code, refused.status_code)


def test_the_environments_are_listed(stack, function):
    """One that has run is idle, and counted as such."""
    client, name = function("echo")
    client.invoke(FunctionName=name)
    since = time.time()

    answer = answer_of(stack, ENVIRONMENTS).json()

    (environment,) = [one for one in answer["each"] if one["function"] == name]
    assert "idle" == environment["state"]
    assert environment["since"] <= since
    assert {"busy": 0, "idle": 1} == answer["environments"][name]


def test_prometheus_scrapes_the_gateway_with_the_stacks_key(stack, function):
    """By the header that docs/see-the-run.md shows; nobody else is let in."""
    client, name = function("echo")
    client.invoke(FunctionName=name)
    header = {"Authorization": f"AWS4-HMAC-SHA256 Credential={stack.endpoints.access_key}"}

    answers = [
        httpx.get(f"{stack.endpoints.lambda_}{METRICS}", headers=headers, timeout=WITHIN_S, trust_env=False)
        for headers in (header, {})
    ]

    assert [200, 403] == [answer.status_code for answer in answers]
    lines = [line.rpartition(" ") for line in answers[0].text.splitlines() if not line.startswith("#")]
    counted = {series: float(value) for series, _, value in lines}
    assert 1 == counted[f'harness_invocations_total{{function="{name}"}}']
    assert 1 == counted[f'harness_cold_starts_total{{function="{name}"}}']
    assert 1 == counted[f'harness_environments{{function="{name}",state="idle"}}']
    assert 1 == counted[f'harness_duration_seconds_bucket{{function="{name}",le="+Inf"}}']
