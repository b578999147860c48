"""Options for the faults of a run, and for the limits of its functions."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.numbers import Number

if TYPE_CHECKING:
    from harness.faults import Plan
    from harness.runs.prepared import PreparedRun
    from harness.settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = [
    click.option(
        "--fault", "faults", multiple=True, help='Inject a fault, for example "kill rank=2 round=17"; repeatable.'
    ),
    click.option(
        "--faults",
        "fault_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read a fault plan from this TOML file; --fault adds to it.",
    ),
    click.option("--chaos", help='Inject random faults, for example "seed=7 rate=0.01".'),
    click.option(
        "--retry-time-scale",
        type=Number(0, 1),
        help="Multiply Lambda's retry delays of 1 and 2 minutes by this factor.  [default: from harness.toml]",
    ),
    click.option("--function-timeout", type=click.IntRange(1, 900), help="Set the workers' time limit, in seconds."),
    click.option("--function-memory", type=click.IntRange(128, 10_240), help="Set the workers' memory, in MB."),
]


def fault_options(function: Decorated) -> Decorated:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def fault_plan(flags: dict[str, Any]) -> "Plan":
    """Return the fault plan that a command's flags describe.

    Raises:
        HarnessError: The plan is not valid.
    """
    from harness.faults import read_plan

    return read_plan(flags["fault_file"], flags["faults"], flags["chaos"])


def with_flags(settings: "Settings", run: "PreparedRun", flags: dict[str, Any]) -> "Settings":
    """Return the settings, with the values that the flags override for this run.

    Raises:
        HarnessError: A fault is about a zone that functions are not in with these settings, or about a node that the
            cache does not have.
    """
    from harness.faults import Plan, check_nodes, check_zones
    from harness.runs.worker import for_run, worker_function

    changed = for_run(
        settings,
        worker_function(settings, run.job),
        retry_time_scale=flags["retry_time_scale"],
        timeout_s=flags["function_timeout"],
        memory_mb=flags["function_memory"],
        zones=flags["zones"],
        cache_nodes=flags["cache_nodes"],
    )
    check_zones(run.faults or Plan(), changed.gateway.zones)
    check_nodes(run.faults or Plan(), changed.stack.cache_nodes)
    return changed


def needs_own_stack(run: "PreparedRun", flags: dict[str, Any]) -> bool:
    """Return whether the shared stack cannot serve this run: it has no proxies, and its own scale, zones and nodes."""
    given = (flags["retry_time_scale"], flags["zones"], flags["network"], flags["cache_nodes"])
    return bool(run.faults) or any(value is not None for value in given)
