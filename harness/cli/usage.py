"""Wrong usage of a command: the flag, its value and what is allowed."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from training.errors import InputError

# click's words for a value outside a range or a choice.
_RANGE = re.compile(r"(?P<value>.+) is not in the range (?P<allowed>.+)\.")
_CHOICE = re.compile(r"(?P<value>'.*') is not one of (?P<allowed>.+)\.")
_NUMBER = re.compile(r"(?P<value>'.*') is not a valid (?P<kind>integer|float) range\.")
_BOOLEAN = re.compile(r"(?P<value>'.*') is not a valid boolean\..*")
# A range by its ends, such as `1<=x<=1000`.
_ENDS = re.compile(r"(?:(?P<least>[^<>=]+)(?P<from><=?))?x(?:(?P<to><=?)(?P<most>.+)|>(?P<equal>=?)(?P<above>.+))?")


def describe_usage(error: click.ClickException) -> list[str]:
    """Return the lines of an error that click has found."""
    lines = [_message(error)]
    context = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and context is not None:
        lines.append(f"see `{context.command_path} --help`")
    return lines


@contextmanager
def errors_name_data(given: Mapping[str, str | None]) -> Iterator[None]:
    """Make errors that the block raises about a data set name the flag that gave it.

    Args:
        given: The values of flags that name data sets.

    Raises:
        InputError: An error about one of them.
    """
    try:
        yield
    except InputError as error:
        for flag, value in given.items():
            subject = f"data `{value}`"
            if value is not None and str(error).startswith(subject):
                raise InputError(f"{flag} `{value}`{str(error).removeprefix(subject)}") from error
        raise


def _message(error: click.ClickException) -> str:
    message = error.format_message()
    if not isinstance(error, click.BadParameter) or isinstance(error, click.MissingParameter):
        return message[:1].lower() + message[1:]
    flag = _flag_of(error)
    if found := _RANGE.fullmatch(error.message):
        return f"{flag} is {found['value']}; allowed: {_in_words(found['allowed'])}"
    if found := _CHOICE.fullmatch(error.message):
        return f"{flag} is {found['value']}; allowed: {found['allowed'].replace(chr(39), '')}"
    if (found := _NUMBER.fullmatch(error.message)) and isinstance(error.param, click.Parameter):
        kind = "a whole number" if found["kind"] == "integer" else "a number"
        return f"{flag} is {found['value']}; allowed: {kind}, {_in_words(_range_of(error.param))}"
    if found := _BOOLEAN.fullmatch(error.message):
        return f"{flag} is {found['value']}; allowed: on, off"
    return f"{flag}: {error.message}"


def _range_of(param: click.Parameter) -> str:
    """Return the range of a number as click writes it, such as `1<=x<=1000`."""
    described = getattr(param.type, "_describe_range", None)
    return str(described()) if described else "x"


def _flag_of(error: click.BadParameter) -> str:
    """Return the option or argument whose value is wrong, as the user writes it."""
    if error.param is None:
        return "the command line"
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.make_metavar(error.ctx) if error.ctx else error.param.human_readable_name


def _in_words(allowed: str) -> str:
    """Return a range in words: `1 to 1000`, `at least 1`, `above 0, at most 0.5`."""
    ends = _ENDS.fullmatch(allowed)
    if ends is None:
        return allowed
    if ends["above"] is not None:
        return f"at least {ends['above']}" if ends["equal"] else f"above {ends['above']}"
    least, most = ends["least"], ends["most"]
    if least is not None and ends["from"] == ends["to"] == "<=":
        return f"{least} to {most}"
    words = []
    if least is not None:
        words.append(f"{'at least' if ends['from'] == '<=' else 'above'} {least}")
    if most is not None:
        words.append(f"{'at most' if ends['to'] == '<=' else 'below'} {most}")
    return ", ".join(words)
