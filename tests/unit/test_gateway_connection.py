"""HTTP answers as they come over a connection, piece by piece."""

import pytest

from harness.gateway.connection import AnswerParser, HttpAnswer


def answers_in(received, *, ended=False):
    """The answers in the bytes of a connection."""
    answers = []
    parser = AnswerParser(answers.append)
    parser.feed(received)
    if ended:
        parser.end()
    return answers


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", HttpAnswer(200, b"null", is_last=False)),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", HttpAnswer(204, b"", is_last=False)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            HttpAnswer(200, b"abc0123456789", is_last=False),
        ),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", HttpAnswer(200, b"ok", is_last=True)),
        (b"HTTP/1.1 502 \r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", HttpAnswer(502, b"x", is_last=True)),
    ],
)
def test_an_answer_is_complete_with_its_last_byte(received, answer):
    """However the bytes arrive, the answer has its status and its body, and it is not reported early."""
    answers = []
    parser = AnswerParser(answers.append)

    for at in range(len(received)):
        assert not answers
        parser.feed(received[at : at + 1])

    assert [answer] == answers
    assert [answer] == answers_in(received)


def test_an_answer_without_a_length_ends_with_its_connection():
    """Its body is what arrived until then."""
    received = b"HTTP/1.0 200 OK\r\n\r\nall of it"

    assert not answers_in(received)
    assert [HttpAnswer(200, b"all of it", is_last=True)] == answers_in(received, ended=True)


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nServer: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnul",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_the_beginning_of_an_answer_is_none(received):
    """Not even when the connection ends there."""
    assert not answers_in(received, ended=True)


def test_one_connection_has_one_answer_after_another():
    """Nothing of an answer is left in the next one, and an interim answer is not passed on."""
    received = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    )

    assert [HttpAnswer(200, b"first", is_last=False), HttpAnswer(404, b"", is_last=False)] == answers_in(received)


@pytest.mark.parametrize(
    "received",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 okay\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused(received):
    """Another service at that address is not believed."""
    with pytest.raises(ValueError, match=r"."):
        answers_in(received)
