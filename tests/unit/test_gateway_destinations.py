"""What is sent to destinations and dead-letter queues, without a service."""

import json
from urllib.parse import parse_qs

import pytest

from harness.gateway.answers import Answer
from harness.gateway.connection import HttpAnswer
from harness.gateway.events.destinations import EndedEvent, dead_letter_request, record_request
from harness.gateway.events.targets import refusal

TOPIC = "arn:aws:sns:us-east-1:123456789012:told"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:told"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/told"


def ended(payload=b"{}", answer=None, condition="RetriesExhausted"):
    """Return an event that ended with that answer."""
    return EndedEvent("an-id", "f", "a-role", "an-arn", condition, 3, payload, "$LATEST", answer)


def failed(message):
    """Return the answer of a handler that raised an error with that message."""
    return Answer(json.dumps({"errorMessage": message, "errorType": "ValueError"}).encode(), "Unhandled")


def attributes_of(request):
    """Return the attributes of a message for a queue."""
    return {key: one["StringValue"] for key, one in json.loads(request.body)["MessageAttributes"].items()}


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_topic_gets_the_payloads_only_if_they_fit(size):
    """A message of SNS has at most 256 KB; the record without payloads says what happened."""
    payload = json.dumps("x" * size).encode()

    request = record_request("", TOPIC, ended(payload, Answer(payload), "Success"))
    record = json.loads(parse_qs(request.body.decode())["Message"][0])

    assert (size == 100) == ("requestPayload" in record) == ("responsePayload" in record)
    assert {"statusCode": 200, "executedVersion": "$LATEST"} == record["responseContext"]


def test_a_message_of_an_error_is_cut_at_a_kilobyte():
    """It is cut between characters."""
    attributes = attributes_of(dead_letter_request("", QUEUE, ended(answer=failed("é" * 2000))))

    assert "é" * 512 == attributes["ErrorMessage"]
    assert "200" == attributes["ErrorCode"]


def test_an_event_without_a_message_still_has_the_attribute():
    """Queues refuse empty attributes."""
    without = attributes_of(dead_letter_request("", QUEUE, ended(answer=failed(""))))
    never_run = attributes_of(dead_letter_request("", QUEUE, ended()))

    assert "ValueError" == without["ErrorMessage"]
    assert ("429", "Rate Exceeded.") == (never_run["ErrorCode"], never_run["ErrorMessage"])


def test_an_event_bus_that_takes_no_entry_has_refused():
    """Its answer has the status 200 all the same."""
    request = record_request("", BUS, ended())
    taken = b'{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}'
    refused = b'{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure","ErrorMessage":"no"}]}'

    assert "" == refusal(request, HttpAnswer(200, taken, is_last=False))
    assert "InternalFailure" in refusal(request, HttpAnswer(200, refused, is_last=False))
