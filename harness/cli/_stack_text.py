"""A stack's description for the terminal."""

from collections.abc import Sequence

from rich.text import Text

from harness.stack import StackState
from harness.stack.state import addresses_of
from harness.system.console import ASIDE, BAD


def describe(state: StackState, dead: Sequence[str]) -> list[Text]:
    """Return one line per service: its process or container, its address, and how long it took to start."""
    addresses = addresses_of(state)
    parts = {name: f"pid {pid}" for name, pid in state.processes.items()}
    parts |= {name: id_[:12] for name, id_ in state.containers.items()}
    lines = [
        Text.assemble(
            f"  {name:<11} ",
            (f"{'DEAD':<12}", BAD) if name in dead else f"{part:<12}",
            f" {addresses[name]:<24} {state.seconds[name]:6.2f} s",
        )
        for name, part in parts.items()
    ]
    last = f"  {state.mode} mode, S3 by {state.s3}, supervisor pid {state.pid}, logs in {state.directory}"
    return [*lines, Text(last, style=ASIDE)]
