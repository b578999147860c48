"""The ports of debuggers, and what is refused once they are known."""

import socket

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.runs.debugging import debug_targets
from harness.system.process_identity import free_port


def test_a_chosen_port_is_the_first_ranks():
    """The others follow in order."""
    port = free_port()
    targets = debug_targets(["rank=3"], port)

    assert [(port, 3)] == [(target.port, target.rank) for target in targets]


def test_free_ports_are_found():
    """Two ranks get two ports, and neither is one at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports = [target.port for target in debug_targets(["rank=3", "rank=0"], None)]

        assert 2 == len({*ports, server.getsockname()[1]} - {server.getsockname()[1]})
        assert sorted(ports) == ports


def test_a_port_that_is_taken_is_refused():
    """The error names it, and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(HarnessError) as refused:
            debug_targets(["rank=0"], port)

    assert f"--debug-port {port}" in str(refused.value)


def test_a_rank_outside_the_world_size_is_refused():
    """Before a stack is started."""
    refused = CliRunner().invoke(cli, ["run", "--debug", "rank=4", "--n-workers", "4"])

    assert isinstance(refused.exception, HarnessError)
    assert "--debug rank=4: the run has no such rank" in str(refused.exception)
