"""HTTP answers as they come over a connection, piece by piece."""

import pytest

from harness.gateway.connection import HttpAnswer, read_answer


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
def test_an_answer_is_read_when_it_is_whole(received, answer):
    """No beginning of an answer is taken for one, and the whole is, with its status and its body."""
    assert [None] * len(received) == [read_answer(received[:end], ended=False) for end in range(len(received))]
    assert answer == read_answer(received, ended=False)


def test_an_answer_without_a_length_ends_with_its_connection():
    """Its body is what came until then."""
    received = b"HTTP/1.0 200 OK\r\n\r\nall of it"

    assert read_answer(received, ended=False) is None
    assert HttpAnswer(200, b"all of it", is_last=True) == read_answer(received, ended=True)


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
    """Whatever else answers at that address is not believed."""
    with pytest.raises(ValueError, match=r"."):
        read_answer(received, ended=True)
