"""Options that say where a deployment is."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class StackName(click.ParamType[str]):
    """A stack's name, which begins the names of its bucket and repositories: what all of them take."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Checks it.

        Raises:
            click.BadParameter: It is none.
        """
        import re

        text = str(value)
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,28}[a-z0-9]", text):
            self.fail(f"{text!r}: 2 to 30 lower-case letters, digits or hyphens, the first a letter", param, ctx)
        return text


def stack_option(function: Decorated) -> Decorated:
    """`--stack`."""
    return click.option(
        "--stack", type=StackName(), default="lambda-harness", show_default=True, help="The stack's name."
    )(function)


def region_option(function: Decorated) -> Decorated:
    """`--region`."""
    return click.option("--region", help="AWS's region.  [default: the profile's, or AWS_REGION]")(function)


def account_option(function: Decorated) -> Decorated:
    """`--expect-account`."""
    return click.option("--expect-account", metavar="ID", help="Refuse any other account.")(function)


def rehearse_option(function: Decorated) -> Decorated:
    """`--rehearse`."""
    return click.option("--rehearse", is_flag=True, help="On this machine, against emulated AWS.")(function)
