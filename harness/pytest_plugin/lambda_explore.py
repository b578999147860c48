"""`lambda_stack.explore`: every way in which Lambda may end, repeat or overlap an invocation, tried by a test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness.errors import HarnessError
from harness.explore.exploring import ExploredFunction, explore, play_one
from harness.explore.findings import Exploration
from harness.explore.prepare_file import preparation_of
from harness.explore.schedule import Schedule
from harness.explore.wording import page, summary
from harness.runs.deployment import Source, name_of
from harness.settings import Settings


class _Options(msgspec.Struct, frozen=True):
    overlaps: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    seed: int
    schedule: Schedule | None


class LambdaExploration(Exploration, frozen=True, kw_only=True):
    """What an exploration found; as text, its pages."""

    def __str__(self) -> str:
        pages = [page(finding, number, self.function) for number, finding in enumerate(self.findings, start=1)]
        return "\n".join([*pages, *(f"note: {note}" for note in self.notes), summary(self)])


def explore_source(
    settings: Settings,
    source: Source,
    event: object,
    *,
    name: str,
    options: Mapping[str, Any],
    preparation: Mapping[str, object],
    config: Mapping[str, Any],
) -> LambdaExploration:
    """Explore a function on a stage of its own; see `LambdaStack.explore`.

    Args:
        settings: The project's settings.
        source: The function.
        event: The event, or a function that makes it after `prepare`.
        name: The function's name; empty for that of the source.
        options: How much is tried: `overlaps`, `seed`, or the one `schedule` to play.
        preparation: What the function needs and what does not count, by the names of a file of `--prepare`.
        config: Keys of `[functions.NAME]` in harness.toml.

    Raises:
        HarnessError: The function cannot be explored, or a value is wrong.
    """
    chosen = _checked(source, event, options)
    if callable(event):
        make = event
        event, preparation = {}, {**preparation, "event": lambda client, _: make(client)}
    function = ExploredFunction(
        settings=settings,
        name=name or name_of(settings, source),
        event=event,
        source=source,
        config=config,
        preparation=preparation_of("explore()", preparation),
    )
    if chosen.schedule is not None:
        found = play_one(function, chosen.schedule)
    else:
        found = explore(function, most_overlaps=chosen.overlaps, seed=chosen.seed)
    return LambdaExploration(**{field: getattr(found, field) for field in found.__struct_fields__})


def _checked(source: object, event: object, options: Mapping[str, Any]) -> _Options:
    """Return the options, after a look at what needs no stage to be known as wrong.

    Raises:
        HarnessError: A value is wrong.
    """
    if not (isinstance(source, Path) or callable(source) or (isinstance(source, str) and source)):
        raise HarnessError(
            f"explore(): {source!r} is no function",
            remedy="give the name of a function in harness.toml, a folder, a file, or a function of the test",
        )
    try:
        if not callable(event):
            json.dumps(event, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise HarnessError(
            f"explore(): the event is not JSON: {error}", remedy="give an event as JSON has it"
        ) from error
    try:
        return msgspec.convert(dict(options), _Options)
    except msgspec.ValidationError as error:
        raise HarnessError(f"explore(): {error}", remedy="correct that value") from error
