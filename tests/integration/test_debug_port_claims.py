"""Ports of debuggers: a command that was started first keeps its port, though nobody listens there yet."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from harness.errors import HarnessError
from harness.runs.debugging import debug_ports

CLAIM = "from harness.runs.debugging import debug_ports; print(*debug_ports(None), flush=True); input()"


@contextmanager
def another_command():
    """A process that has chosen a port for its debugger; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def test_two_commands_choose_two_ports():
    """Before one of them has a debugger that listens."""
    with another_command() as first, another_command() as second:
        assert first != second
        assert debug_ports(None)[0] not in {first, second}


def test_a_port_that_another_command_chose_is_refused():
    """If the user names it; once that command has ended, even if it was killed, the port is free."""
    with another_command() as port, pytest.raises(HarnessError, match=f"port {port} for the debugger is taken"):
        debug_ports(port)

    assert [port] == debug_ports(port)
