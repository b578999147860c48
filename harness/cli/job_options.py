"""Command-line options for the keys of a job: their names have dashes, their help is the job's own documentation."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
import msgspec
from click.shell_completion import CompletionItem

from harness.errors import HarnessError
from training.errors import InputError
from training.job import Job, describe
from training.model.catalogue import MODELS

PREFIX = "job_"
# Known only when the stack is up, or computed of the model's source; a run sets them itself.
_SET_BY_THE_RUN = {"host", "port", "model_sha256", "test_bucket", "test_prefix"}
# Defaults of `harness run` that differ from the event's.
_RUN_DEFAULTS = {
    "n_workers": "as many as there are partitions in a bucket, else 4",
    **dict.fromkeys(("lr", "batch_size", "n_epochs"), "follows from the data"),
}
_CLICK_TYPES: dict[Any, click.ParamType[Any]] = {
    int: click.INT,
    float: click.FLOAT,
    str: click.STRING,
    bool: click.BOOL,
}


class _ModelName(click.ParamType[str]):
    """A model of the catalogue, which the shell completes, or one of the user's own, which the run checks."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401, ARG002 - click's
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's
        return [CompletionItem(model) for model in MODELS if model.startswith(incomplete)]


_MODEL = _ModelName()


class _OnOff(click.types.BoolParamType):
    """A switch that is on unless it is turned off; click takes an empty value, as of an unset variable, for off."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:  # noqa: ANN401 - click's
        if value == "":
            self.fail("'' is not a valid boolean.", param, ctx)
        return super().convert(value, param, ctx)


_ON_OFF = _OnOff()

# A line in the "Attributes" section of a docstring: the job documents its keys in one place.
_ATTRIBUTE = re.compile(r"^    (\w+): (.+)\.$", re.MULTILINE)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def job_options(function: Decorated) -> Decorated:
    """Add one option per key of the job; the value of an option that is not given is None."""
    hints = get_type_hints(Job, include_extras=True)
    meanings = dict(_ATTRIBUTE.findall(inspect.getdoc(Job) or ""))
    for field in reversed(msgspec.structs.fields(Job)):
        if field.name in _SET_BY_THE_RUN:
            continue
        value = _RUN_DEFAULTS.get(field.name, field.default)
        flag = "--" + field.encode_name.replace("_", "-")
        type_ = _MODEL if field.name == "model" else _click_type(hints[field.name])
        allowed, metavar = describe(hints[field.name]), None
        if type_ is click.BOOL and value:
            # The bare flag would change nothing.
            type_, allowed, metavar, value = _ON_OFF, "on or off", "on|off", "on"
        elif type_ is click.BOOL:
            flag += "/--no" + flag[1:]
        default = "" if value in (msgspec.NODEFAULT, None, "") else f"  [default: {value}]"
        option = click.option(
            flag,
            PREFIX + field.name,
            type=type_,
            metavar=metavar,
            default=None,
            # With -OO, Python strips the docstring.
            help=f"{meanings.get(field.name, field.encode_name)} ({allowed}){default}",
        )
        function = option(function)
    return function


def job_event(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the job's keys that a command's flags set."""
    names = {PREFIX + field.name: field.encode_name for field in msgspec.structs.fields(Job)}
    return {names[flag]: value for flag, value in flags.items() if flag in names and value is not None}


@contextmanager
def errors_name_flags(event: dict[str, Any]) -> Iterator[None]:
    """Make errors that the block raises about a key of the job name the flag that set it.

    Keys that were read from a file keep their names.

    Args:
        event: The keys that flags have set.

    Raises:
        HarnessError: An error about one of them, naming its flag.
    """
    try:
        yield
    except (HarnessError, InputError) as error:
        words = str(error)
        for key in event:
            flag = f"--{key.replace('_', '-')}"
            words = words.replace(f"job field `{key}`", flag)
            if isinstance(error, InputError):
                words = re.sub(rf"(?<![\w-]){key}=", f"{flag} ", words)
        if words == str(error):
            raise
        raise HarnessError(*words.split("\n", 2)) from error


def _click_type(hint: Any) -> click.ParamType[Any]:  # noqa: ANN401 - a type hint has no narrower type
    """Return the option's type; the job itself checks what click cannot express, such as ranges and patterns."""
    if hint in _CLICK_TYPES:
        return _CLICK_TYPES[hint]
    if get_origin(hint) is Literal:
        return click.Choice([str(value) for value in get_args(hint)])
    # In Annotated[T, ...] and T | None, the first argument is the type.
    return _click_type(get_args(hint)[0])
