"""What a caller of a function URL gets for an answer that HTTP does not allow."""

import json

import pytest

from harness.gateway.urls.url_events import FAILED, answer_of


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 100},
        {"statusCode": 600},
        {"statusCode": None},
        {"statusCode": 200, "headers": "x"},
        {"statusCode": 200, "headers": [1]},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "cookies": ["a\r\nb"]},
        {"statusCode": 200, "cookies": 1},
        {"statusCode": 200, "body": "AA=", "isBase64Encoded": True},
    ],
)
def test_an_answer_that_cannot_be_sent_is_502(answer):
    """The connection lives on, and nothing of the answer is sent."""
    assert answer_of(json.dumps(answer).encode()) == FAILED


def test_an_answer_that_is_nested_too_deeply_is_sent_as_it_is():
    """As every answer that describes no other."""
    deep = b"[" * 100_000

    assert (answer_of(deep).status, answer_of(deep).body) == (200, deep)
