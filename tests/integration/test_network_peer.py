"""The owner of the other end of a connection: real sockets, looked up in both ways."""

import socket

import pytest

from harness.network import peer


@pytest.fixture(params=["sock_diag", "/proc"])
def way(request, monkeypatch):
    """Use the kernel's own interface, or /proc."""
    if request.param == "/proc":
        monkeypatch.setattr(peer, "_ask_kernel", lambda *_: None)


@pytest.fixture
def connection():
    """Provide both ends of one connection: the client's and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=5)
        server, _ = listener.accept()
    with client, server:
        yield client, server


@pytest.mark.usefixtures("way")
def test_a_process_of_this_user_is_own(connection):
    """This user owns both ends."""
    _, server = connection

    assert peer.is_own(server)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("says", [b"", b"config get cluster\r\n"])
def test_a_peer_that_has_closed_is_foreign(connection, says):
    """The kernel then names root as the owner of its socket, which must not let anybody in."""
    client, server = connection
    client.sendall(says)
    client.close()
    # The end of the connection has arrived.
    server.settimeout(5)
    while server.recv(4096, socket.MSG_WAITALL):
        pass

    assert not peer.is_own(server)


def test_a_peer_that_was_reset_is_foreign(connection):
    """There is no peer anymore, and no error either."""
    client, server = connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()

    assert not peer.is_own(server)
