"""Ports for tests that let one go and take it again, or leave it to a process that they start."""

import random
import socket
from pathlib import Path

_LOWEST = 15_000


def quiet_port() -> int:
    """Return a port of the loopback interface that is free, and that the kernel gives to nobody who asks for any.

    A port that the kernel has chosen may, once it is let go, be the next one that it gives to another process.
    """
    highest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(_LOWEST, highest), 100):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"100 ports between {_LOWEST} and {highest} are taken")
