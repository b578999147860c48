"""What a run is to meet, and how its functions are to be, as command-line options."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from harness.faults import Plan
    from harness.runs.prepared import PreparedRun
    from harness.settings import Settings
    from training.job import Job

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = [
    click.option("--fault", "faults", multiple=True, help='A fault, as "kill rank=2 round=17"; repeatable.'),
    click.option(
        "--faults",
        "fault_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A plan of faults as TOML; --fault adds to it.",
    ),
    click.option("--chaos", help='Faults at random, as "seed=7 rate=0.01".'),
    click.option(
        "--retry-time-scale",
        type=click.FloatRange(0, 1),
        help="Factor on the 1 and 2 minutes after which Lambda retries.  [default: as harness.toml says]",
    ),
    click.option("--function-timeout", type=click.IntRange(1, 900), help="Time limit of a worker, seconds."),
    click.option("--function-memory", type=click.IntRange(128, 10_240), help="Memory of a worker, MB."),
]


def fault_options(function: Decorated) -> Decorated:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def fault_plan(flags: dict[str, Any]) -> "Plan":
    """The plan among a command's flags.

    Raises:
        HarnessError: It is not understood.
    """
    from harness.faults import read_plan

    return read_plan(flags["fault_file"], flags["faults"], flags["chaos"])


def with_flags(settings: "Settings", job: "Job", flags: dict[str, Any]) -> "Settings":
    """The settings with what the flags want otherwise for this job."""
    from harness.runs.functions import for_run, worker_function

    return for_run(
        settings,
        worker_function(settings, job),
        retry_time_scale=flags["retry_time_scale"],
        timeout_s=flags["function_timeout"],
        memory_mb=flags["function_memory"],
    )


def needs_own_stack(run: "PreparedRun", flags: dict[str, Any]) -> bool:
    """Return whether the shared stack cannot serve this run: it has no fault proxies, and its own time scale."""
    return bool(run.faults) or flags["retry_time_scale"] is not None
