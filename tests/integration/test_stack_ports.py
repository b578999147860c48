"""Reservation of ports."""

import contextlib
import errno
import socket

import pytest

from harness.errors import HarnessError
from harness.system.ports import LOOPBACK, ReservedPorts
from tests.support.ports import quiet_port


def test_each_service_gets_a_port_of_its_own():
    """No two names share a free port."""
    names = [f"service-{number}" for number in range(20)]
    with contextlib.closing(ReservedPorts(names, {})) as ports:
        assert sorted(ports.numbers) == sorted(names)
        assert len(set(ports.numbers.values())) == len(names)


def test_a_reserved_port_can_be_listened_on_by_the_one_it_is_meant_for():
    """A server that sets SO_REUSEADDR, as all of ours do, gets the reserved number."""
    with (
        contextlib.closing(ReservedPorts(["s3"], {})) as ports,
        socket.create_server((LOOPBACK, ports.numbers["s3"])) as server,
    ):
        assert server.getsockname()[1] == ports.numbers["s3"]


def test_a_reserved_port_is_given_to_nobody_who_asks_for_a_free_one():
    """The kernel hands out no number that is reserved."""
    with contextlib.closing(ReservedPorts(["s3"], {})) as ports, contextlib.ExitStack() as others:
        given = {others.enter_context(socket.create_server((LOOPBACK, 0))).getsockname()[1] for _ in range(200)}

        assert ports.numbers["s3"] not in given


def test_a_fixed_port_is_honoured():
    """A service for which a port was set gets this one."""
    free = quiet_port()
    with contextlib.closing(ReservedPorts(["memcached", "s3"], {"memcached": free, "s3": 0})) as ports:
        assert ports.numbers["memcached"] == free


def test_a_taken_fixed_port_is_named_with_its_service_and_a_remedy():
    """The error says which port, for what, and what to do."""
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(HarnessError) as caught:
            ReservedPorts(["memcached"], {"memcached": taken})

    assert caught.value.what == f"port {taken}, set for memcached, is taken"
    assert "harness.toml" in caught.value.where
    assert caught.value.remedy == "stop what listens there, or set another port, or 0 for a free one"


def test_nothing_has_to_be_stopped_for_a_port_that_needs_root(monkeypatch):
    """Another port helps. Whom the kernel refuses depends on the machine, so its answer is given here."""

    def refuse(_socket, _address):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(HarnessError) as caught:
        ReservedPorts(["gateway"], {"gateway": 80})

    assert caught.value.what == "port 80, set for gateway, needs root"
    assert caught.value.remedy == "set a port of 1024 or above, or 0 for a free one"
