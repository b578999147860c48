"""The option that names models of the user's own, for commands about images and deployments."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from harness.settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def models_option(function: Decorated) -> Decorated:
    """Add `--model`."""
    return click.option(
        "--model",
        "models",
        multiple=True,
        metavar="FILE:NAME",
        help="Include a model of your own, beside those of [models.NAME] in harness.toml; repeatable.",
    )(function)


def settings_with_models(models: tuple[str, ...] = ()) -> "Settings":
    """Return the project's settings, with the functions of its own models and of those that a command names.

    Args:
        models: The values of `--model`.

    Raises:
        HarnessError: The settings or a model are not valid.
    """
    from harness.runs.model_function import function_of, with_function, with_models
    from harness.runs.own_model import own_model
    from harness.settings import load_settings

    settings = with_models(load_settings())
    for text in models:
        settings = with_function(settings, function_of(own_model(text, settings), settings))
    return settings
