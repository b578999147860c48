"""A stack's description for the terminal."""

from collections.abc import Sequence

from harness.stack import StackState


def describe(state: StackState, dead: Sequence[str]) -> list[str]:
    """Return one line per service: its process or container, its address, and how long it took to start."""
    ends = state.endpoints
    addresses = {
        "memcached": ends.memcached,
        "discovery": ends.discovery,
        "moto": ends.aws,
        "aws": ends.aws,
        "localstack": ends.s3,
        "s3": ends.s3,
        "gateway": ends.lambda_,
        "registry": ends.registry or "",
    }
    parts = {name: f"pid {pid}" for name, pid in state.processes.items()}
    parts |= {name: id_[:12] for name, id_ in state.containers.items()}
    lines = [
        f"  {name:<11} {'DEAD' if name in dead else part:<12} {addresses[name]:<24} {state.seconds[name]:6.2f} s"
        for name, part in parts.items()
    ]
    return [*lines, f"  {state.mode} mode, S3 by {state.s3}, supervisor pid {state.pid}, logs in {state.directory}"]
