"""Which messages of a batch come back, by what the function answers."""

import json

import pytest

from harness.gateway.mappings.queues import Message
from harness.gateway.mappings.sqs_events import failed_in

BATCH = [Message(id="one", receipt="1"), Message(id="two", receipt="2")]


def answer(*ids):
    """Return an answer that names failed messages."""
    return json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in ids]}).encode()


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (answer(), set()),
        (b"null", set()),
        (b"{}", set()),
        (b'{"batchItemFailures": null}', set()),
        (answer("one"), {"one"}),
        (answer("one", "two"), {"one", "two"}),
        (answer("other"), {"one", "two"}),
        (answer("one", "other"), {"one", "two"}),
        (answer(""), {"one", "two"}),
        (answer(None), {"one", "two"}),
        (answer(123), {"one", "two"}),
        (b'{"batchItemFailures": [{"foo": 1}]}', {"one", "two"}),
        (b"no JSON", {"one", "two"}),
        (b'{"a":' * 5000, {"one", "two"}),
    ],
)
def test_an_answer_that_aws_would_not_understand_fails_the_whole_batch(said, failed):
    """No message is lost because of it: one that is not named as failed is deleted."""
    assert failed_in(said, BATCH) == failed
