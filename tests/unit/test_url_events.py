"""Answers of functions behind a URL, as HTTP answers."""

import json

import pytest

from harness.gateway.urls.url_events import FAILED, answer_of


def answer(**parts):
    """Return the HTTP answer to such an answer of a function."""
    return answer_of(json.dumps({"statusCode": 200, **parts}).encode())


@pytest.mark.parametrize(
    "parts",
    [
        {"statusCode": "soon"},
        {"statusCode": 99},
        {"statusCode": None},
        {"headers": {"X-Own": "a\r\nSet-Cookie: b=1"}},
        {"headers": {"X Own": "a"}},
        {"headers": {"X-Own": "\u20ac"}},
        {"cookies": ["a=1\n"]},
        {"body": "a", "isBase64Encoded": True},
    ],
    ids=str,
)
def test_an_answer_that_http_does_not_allow_is_a_failure(parts):
    """The caller gets 502, and no header that the function did not mean."""
    assert answer(**parts) is FAILED


def test_a_function_does_not_set_the_headers_of_the_connection():
    """AWS gives them another name; the body's length is the server's to say."""
    headers = dict(answer(headers={"Content-Length": 7, "Connection": "close"}, body="text").headers)

    assert headers["x-amzn-remapped-Content-Length"] == "7"
    assert not {"content-length", "connection"} & {name.lower() for name in headers}


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(status):
    """Whatever the function returns."""
    assert answer(statusCode=status, body="text").body == b""


def test_bytes_that_are_no_json_are_sent_as_they_are():
    """A function may answer with any bytes."""
    assert answer_of(b"\xff\x00").body == b"\xff\x00"
