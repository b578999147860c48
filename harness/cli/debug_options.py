"""Options that let a debugger hold functions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from harness.gateway.debug_records import DebugTarget

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

debug_port_option = click.option(
    "--debug-port",
    type=click.IntRange(1, 65_535),
    help="Let debugpy listen on this port.  [default: the first free one from 5678]",
)


def run_debug_options(function: Decorated) -> Decorated:
    """Add the options to a command that starts a run."""
    ranks = click.option(
        "--debug",
        "debug_ranks",
        multiple=True,
        metavar="rank=N",
        help="Let this rank wait for a debugger, without time limits; repeatable.",
    )
    return ranks(debug_port_option(function))


def run_debug_targets(flags: dict[str, Any], target: str | None) -> "tuple[DebugTarget, ...]":
    """Return the ranks to debug.

    Args:
        flags: The command's flags.
        target: Its `--target`.

    Raises:
        HarnessError: A rank or the port is wrong, or a flag contradicts them.
    """
    from harness.errors import HarnessError

    ranks, port = flags["debug_ranks"], flags["debug_port"]
    if not ranks:
        if port is not None:
            raise HarnessError("--debug-port was given without --debug", remedy="add for example --debug rank=1")
        return ()
    from harness.runs.debugging import debug_targets

    if target is not None:
        raise HarnessError(*not_at_target("--debug", target))
    if flags["function_timeout"] is not None:
        raise HarnessError("--debug lifts the workers' time limit", "--function-timeout", "leave one of them out")
    return debug_targets(ranks, port)


def not_at_target(flag: str, target: str) -> tuple[str, str, str]:
    """Return the parts of the error for a debugger and a deployment."""
    return (
        f"{flag} does not reach functions of --target {target}",
        "a debugger attaches to functions of a stack on this machine",
        "leave --target out",
    )
