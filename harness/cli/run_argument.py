"""The argument that names a run: kept in the project, on the stack that is up, or in a deployment."""

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.target_options import Where, refuse_account_without_target, target_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.history.folder import KeptFolder
    from harness.runs.places import Elsewhere
    from harness.runs.run_target import RunTarget
    from harness.runs.standing import StandingFolder
    from harness.settings import Settings

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


def run_argument(function: Decorated) -> Decorated:
    """Add RUN."""
    return click.argument("run_id", metavar="RUN")(function)


def elsewhere(where: Where, settings: "Settings") -> "Elsewhere":
    """Return what tells where runs may be that are not kept: a deployment, or the stack that is up.

    Raises:
        HarnessError: An account is named without a deployment.
    """
    if where.target is None:
        refuse_account_without_target(where.expect_account)

    def place() -> "RunTarget | None":
        from harness.deploy.run_target import deployed_run_target
        from harness.runs.places import stack_place

        if where.target is None:
            return stack_place(settings)
        target = target_of(where.target, where.region, settings, where.expect_account)
        return deployed_run_target(target, where.stack, partial(click.echo, err=True))

    return place


def named_run(name: str, where: Where, settings: "Settings") -> "KeptFolder | StandingFolder":
    """Return the folder of the run that a user names, by its id, the beginning of it, or `last`.

    Raises:
        HarnessError: There is no such run, or several begin so; the message names near ones.
    """
    from harness.runs.places import run_folder

    return run_folder(name, settings, elsewhere(where, settings))
