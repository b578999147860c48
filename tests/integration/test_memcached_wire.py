"""The Memcached channel against a scripted node: replies in any pieces, refusals, and ends in the middle of a reply."""

import socket
import threading
from contextlib import contextmanager

import pytest

from training.errors import ChannelError, ValueTooLarge
from training.exchange.channel.memcached import MemcachedChannel

SETTINGS = b"STAT item_size_max 1048576\r\nEND\r\n"


@contextmanager
def node(*connections):
    """A node that answers each connection with its pieces, one after each piece of a request; None closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for pieces in connections:
            connection, _ = listener.accept()
            with connection:
                for piece in pieces:
                    if not isinstance(piece, list):
                        connection.recv(1 << 20)
                    for part in piece if isinstance(piece, list) else [piece]:
                        if part is None:
                            break
                        connection.sendall(part)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield listener.getsockname()[1]
        thread.join(5)


# Discovery has a connection of its own.
PLAIN = (b"ERROR\r\n",)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_replies_come_in_any_pieces(size):
    """However a reply is cut, within a line's end and within a value too, the values are the right ones."""
    reply = b"STORED\r\nVALUE a 0 5\r\nEND\r\n\r\nVALUE b 0 0\r\n\r\nEND\r\n"
    cut = [reply[start : start + size] for start in range(0, len(reply), size)]

    with node(PLAIN, (SETTINGS, cut[0], cut[1:])) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        found = channel.round_trip({"c": b"1"}, ["a", "b", "absent"])
        channel.close()

    assert {"a": b"END\r\n", "b": b""} == found


def test_a_large_value_lands_where_it_belongs():
    """A value as long as its landing is received there; one of another length comes as bytes."""
    value = bytes(range(256)) * 1024
    reply = b"VALUE a 0 %d\r\n%b\r\nVALUE b 0 3\r\nabc\r\nEND\r\n" % (len(value), value)
    head, body, wrong = bytearray(48), bytearray(len(value) - 48), bytearray(4)
    buffers = {"a": (memoryview(head), memoryview(body)), "b": (memoryview(wrong),)}

    with node(PLAIN, (SETTINGS, reply)) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        found = channel.round_trip({}, ["a", "b"], buffers)
        channel.close()

    assert found["a"] is buffers["a"]
    assert value == bytes(head + body)
    assert b"abc" == found["b"]


def test_large_values_go_out_while_others_come_in():
    """A node that takes the rest of a request only when its first answers are read: neither end waits for the other."""
    size = 8 << 20  # more than the kernel keeps on the way
    values = {f"out{index}": bytes([index]) * size for index in range(3)}
    buffers = {f"in{index}": (memoryview(bytearray(size)),) for index in range(3)}
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as discovery:
                discovery.recv(100)
                discovery.sendall(b"ERROR\r\n")
            with listener.accept()[0] as connection, connection.makefile("rb") as requests:
                requests.readline()
                connection.sendall(SETTINGS)
                while len(asked) < 6:
                    command, key, *rest = requests.readline().split()
                    asked.append(key.decode())
                    if command == b"set":
                        requests.read(int(rest[2]) + 2)
                        connection.sendall(b"STORED\r\n")
                    else:
                        connection.sendall(b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, size, key[-1:] * size))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        channel = MemcachedChannel("127.0.0.1", listener.getsockname()[1], timeout_s=5)
        channel.max_value_bytes = size
        found = channel.round_trip(values, list(buffers), buffers)
        channel.close()
        thread.join(5)

    # Each is asked for one value later than its own: a peer in step has stored it by then.
    assert ["out0", "out1", "in0", "out2", "in1", "in2"] == asked
    assert buffers == found
    assert all(bytes(landing[0]) == key[-1:].encode() * size for key, landing in buffers.items())


def test_a_value_that_is_refused_at_its_first_bytes_swallows_nothing_else():
    """Memcached 1.5 refuses by a value's length and does not wait for it: the next request has a new connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as discovery:
                discovery.recv(100)
                discovery.sendall(b"ERROR\r\n")
            with listener.accept()[0] as refused:
                refused.recv(100)
                refused.sendall(SETTINGS)
                refused.recv(100)
                refused.sendall(b"SERVER_ERROR object too large for cache\r\n")
                with listener.accept()[0] as anew:
                    anew.recv(100)
                    anew.sendall(b"VALUE a 0 1\r\n1\r\nEND\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        channel = MemcachedChannel("127.0.0.1", listener.getsockname()[1], timeout_s=5)
        with pytest.raises(ValueTooLarge, match="storing large"):
            channel.put_many({"large": bytes(64 << 20)})
        found = channel.get_many(["a"])
        channel.close()
        thread.join(5)

    assert {"a": b"1"} == found


def test_a_refusal_is_told_and_the_connection_goes_on():
    """The refused key and Memcached's words are in the error; the replies behind it were read all the same."""
    full = b"STORED\r\nSERVER_ERROR out of memory storing object\r\nVALUE a 0 1\r\n1\r\nEND\r\n"

    with node(PLAIN, (SETTINGS, full, b"END\r\n")) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        with pytest.raises(ChannelError, match=r"storing k2 \(3 bytes\): out of memory"):
            channel.round_trip({"k1": b"abc", "k2": b"abc"}, ["a"])
        found = channel.get_many(["a"])
        channel.close()

    assert {} == found


def test_a_store_without_room_says_what_to_set():
    """The node's memory, and what to change, beside the key and its size."""
    settings = b"STAT maxbytes 1048576\r\n" + SETTINGS
    with node(PLAIN, (settings, b"SERVER_ERROR out of memory storing object\r\n")) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        with pytest.raises(ChannelError, match=r"storing k .*: out of memory .*; its memory is 1 MB; start .*-m 256"):
            channel.put_many({"k": b"123"})
        channel.close()


def test_too_large_is_told_before_other_refusals():
    """Trying again helps against a lack of memory, not against a value's size."""
    refusals = b"SERVER_ERROR out of memory storing object\r\nSERVER_ERROR object too large for cache\r\n"

    with node(PLAIN, (SETTINGS, refusals)) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        with pytest.raises(ValueTooLarge, match="k2"):
            channel.put_many({"k1": b"abc", "k2": b"abc"})
        channel.close()


@pytest.mark.parametrize("reply", [b"", b"VALUE a 0 100\r\nabc", b"WHAT\r\n", b"VALUE a\r\n"])
def test_after_an_error_the_next_trip_has_a_new_connection(reply):
    """A reply that breaks off, or is none, is an error; what comes late of it is never taken for another's."""
    # Where the node closed the connection, the channel looks whether it has any left.
    look = [] if reply.startswith((b"WHAT", b"VALUE a\r")) else [([None],)]
    with node(PLAIN, (SETTINGS, [*([reply] if reply else []), None]), *look, (b"VALUE a 0 1\r\n1\r\nEND\r\n",)) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        with pytest.raises(ChannelError, match=rf"Memcached at 127\.0\.0\.1:{port}: "):
            channel.get_many(["a"])
        found = channel.get_many(["a"])
        channel.close()

    assert {"a": b"1"} == found


def test_a_silent_node_is_given_up_in_time():
    """A node that does not answer is an error after the timeout, which says how long it was waited for."""
    hush = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as discovery:
                discovery.recv(100)
                discovery.sendall(b"ERROR\r\n")
            with listener.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(SETTINGS)
                hush.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        channel = MemcachedChannel("127.0.0.1", listener.getsockname()[1], timeout_s=1.0)
        with pytest.raises(ChannelError, match=r"no answer within 1(\.0)? s"):
            channel.get_many(["a"])
        hush.set()
        channel.close()
        thread.join(5)


def test_a_key_that_memcached_would_not_take_is_named():
    """A key above 250 bytes is refused before anything is sent."""
    with node(PLAIN, (SETTINGS,)) as port:
        channel = MemcachedChannel("127.0.0.1", port)
        with pytest.raises(ChannelError, match="has 300 bytes; Memcached takes 250"):
            channel.put_many({"k" * 300: b""})
        channel.close()


def test_a_node_that_takes_nothing_is_given_up_in_the_same_words():
    """A request that the node does not read ends as an answer that does not come."""
    hush = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as discovery:
                discovery.recv(100)
                discovery.sendall(b"ERROR\r\n")
            with listener.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(SETTINGS)
                hush.wait(20)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        channel = MemcachedChannel("127.0.0.1", listener.getsockname()[1], timeout_s=1.0)
        with pytest.raises(ChannelError, match=r"no answer within 1(\.0)? s"):
            channel.put_many({f"k{number}": bytes(1 << 20) for number in range(32)})
        hush.set()
        channel.close()
        thread.join(5)
