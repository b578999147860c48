"""Requests a second per prefix of S3, on a clock of the tests' own, and S3's answer to those that are too many."""

import re
from xml.etree import ElementTree as ET

import h11
import pytest

from harness.network.request_limit import RequestLimit, S3Request, read_request
from harness.network.s3_answers import SLOW_DOWN, error_events

READ, WRITE = S3Request("read", "b/p"), S3Request("write", "b/p")


@pytest.mark.parametrize(
    ("method", "target", "kind", "prefix"),
    [
        ("GET", "/data/3_8", "read", "data"),
        ("HEAD", "/data/a/b/3_8", "read", "data/a/b"),
        ("PUT", "/data/a/x", "write", "data/a"),
        ("DELETE", "/data/a/x", "write", "data/a"),
        ("POST", "/data/a/x?uploads", "write", "data/a"),
        ("GET", "/data?list-type=2&prefix=a%2Fb%2Fc&encoding-type=url", "read", "data/a/b"),
        ("GET", "/data?list-type=2", "read", "data"),
        ("GET", "/data/?list-type=2&prefix=top", "read", "data"),
        ("PUT", "/data", "write", "data"),
        ("POST", "/data?delete", "write", "data"),
        ("GET", "/", "read", ""),
        ("GET", "/data/a%2Fb/c", "read", "data/a/b"),
    ],
)
def test_a_request_counts_for_its_bucket_and_its_key_up_to_the_last_slash(method, target, kind, prefix):
    """Reads are GET, HEAD and lists; a list counts for the prefix that it lists."""
    path, _, query = target.partition("?")

    assert S3Request(kind, prefix) == read_request(method, path, query)


def test_a_prefix_has_so_many_requests_within_any_second():
    """Those beyond are refused and do not count; a second after each admitted one another is admitted."""
    limit = RequestLimit(reads=3, writes=100)

    admitted = [limit.admits(READ, at) for at in (0.0, 0.5, 0.75, 0.875, 0.99, 1.0, 1.25, 1.5, 1.625, 1.75)]

    assert [True, True, True, False, False, True, False, True, False, True] == admitted


def test_over_a_long_time_as_many_pass_as_the_rate_says():
    """A client that asks ten times as often as allowed gets the rate, whatever the first second was like."""
    limit = RequestLimit(reads=50, writes=1)

    passed = sum(limit.admits(READ, step / 500) for step in range(5_000))

    assert 500 == passed


def test_reads_writes_and_prefixes_are_counted_by_themselves():
    """A prefix that is used up leaves its writes and every other prefix alone."""
    limit = RequestLimit(reads=1, writes=2)

    assert limit.admits(READ, 0.0)
    assert not limit.admits(READ, 0.1)
    assert limit.admits(WRITE, 0.1)
    assert limit.admits(WRITE, 0.2)
    assert not limit.admits(WRITE, 0.3)
    assert limit.admits(S3Request("read", "b/q"), 0.3)


def test_less_than_one_request_a_second_is_one_in_several_seconds():
    """A rate of 0.25 admits one request every four seconds."""
    limit = RequestLimit(reads=0.25, writes=1)

    assert [0.0, 4.0, 8.0] == [at for at in map(float, range(10)) if limit.admits(READ, at)]


def test_idle_prefixes_are_forgotten_and_busy_ones_are_not():
    """A run with a prefix for each object takes no more memory for the first than for the last; limits still hold."""
    limit = RequestLimit(reads=1, writes=1)

    for number in range(20_000):
        assert limit.admits(S3Request("read", f"b/{number}"), number / 100)

    assert len(limit) < 2_000
    assert not limit.admits(S3Request("read", "b/19999"), 200.5)


def received(events, method):
    """What a client reads of these events."""
    server, client = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)
    server.receive_data(client.send(h11.Request(method=method, target="/b/k", headers=[("Host", "s3")])))
    server.receive_data(client.send(h11.EndOfMessage()))
    while not isinstance(server.next_event(), h11.EndOfMessage):
        pass
    client.receive_data(b"".join(server.send(event) or b"" for event in events))
    parts = [client.next_event()]
    while not isinstance(parts[-1], h11.EndOfMessage):
        parts.append(client.next_event())
    return parts[0], b"".join(bytes(part.data) for part in parts[1:-1])


def test_too_many_requests_are_answered_as_s3_answers_them():
    """Status, reason, code and message are S3's; the ids of headers and body agree; the connection ends."""
    head, body = received(error_events(SLOW_DOWN, b"GET"), "GET")
    headers = {name.decode(): value.decode() for name, value in head.headers}
    parts = {part.tag: part.text for part in ET.fromstring(body)}  # noqa: S314 - our own

    assert (503, b"Slow Down") == (head.status_code, bytes(head.reason))
    assert ("SlowDown", "Please reduce your request rate.") == (parts["Code"], parts["Message"])
    assert re.fullmatch("[0-9A-Z]{16}", parts["RequestId"])
    assert (parts["RequestId"], parts["HostId"]) == (headers["x-amz-request-id"], headers["x-amz-id-2"])
    assert ("application/xml", "close", "chunked") == (
        headers["content-type"],
        headers["connection"],
        headers["transfer-encoding"],
    )


def test_an_answer_to_head_has_no_body():
    """As HTTP demands; the client still learns the status."""
    head, body = received(error_events(SLOW_DOWN, b"HEAD"), "HEAD")

    assert (503, b"") == (head.status_code, body)
