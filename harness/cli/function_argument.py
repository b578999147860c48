"""The arguments that name functions, which a shell completes from harness.toml."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def function_argument(function: Decorated) -> Decorated:
    """Add the argument FUNCTION."""
    return click.argument("function", shell_complete=_declared)(function)


def functions_argument(function: Decorated) -> Decorated:
    """Add the argument NAMES: any number of functions, also none."""
    return click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_declared)(function)


def _declared(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's signature
    """Return the declared functions whose names begin so; none if harness.toml cannot be read."""
    from harness.errors import HarnessError
    from harness.settings import load_settings

    try:
        names = load_settings().functions
    except HarnessError:
        return []
    return [name for name in names if name.startswith(incomplete)]
