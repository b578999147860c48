"""A figure of AWS: a value with its source, from a table of a preset's file or from the command line."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.presets.distribution import QUANTILES, ByCount, Constant, Value, distribution
from harness.presets.figures import FIGURES
from harness.presets.source_file import describe_known

# What no measurement is beyond, in any unit: sums and products of such values are finite.
_SMALLEST, _LARGEST = 1e-9, 1e9
_NAMED = (*QUANTILES, "mean", "min", "max")
_TEXTS = ("unit", "source", "measured", "doubt")
_KEYS = (*_TEXTS, "value", "by_count", *_NAMED)
_FORMS = {
    "number": "`value`",
    "distribution": "`value`, or quantiles such as `p50` and `p99`, or `mean`, `min` and `max`",
    "by_count": "`by_count`, as [[100, 0.53], [200, 0.92]]",
}


class Figure(msgspec.Struct, frozen=True):
    """A figure of AWS.

    Attributes:
        value: Its value, in the unit of `harness.presets.figures.FIGURES`.
        source: Who measured it, and where that is published.
        measured: Where and when.
        doubt: Why it may not hold for you; empty if nothing is known against it.
    """

    value: Value
    source: str
    measured: str = ""
    doubt: str = ""


def check_name(name: str, where: str) -> None:
    """Raise if the catalogue has no such figure.

    Raises:
        HarnessError: It has none; the message names the closest one.
    """
    if name not in FIGURES:
        raise HarnessError(f"there is no figure {name!r}", where, describe_known("figures", name, FIGURES))


def figure_of(name: str, table: object, where: str) -> Figure:
    """Return the figure that a table describes.

    Args:
        name: A name of the catalogue.
        table: `unit`, `source`, `measured`, `doubt`, and one of `value`, `by_count` and quantiles.
        where: The file or the argument, for messages.

    Raises:
        HarnessError: The table is wrong; the message names the figure, the field and its value.
    """
    kind, at = FIGURES[name], f"figures.{name}, {where}"
    wanted = f"{name} has {_FORMS[kind.form]}"
    if not isinstance(table, Mapping):
        raise HarnessError(f"{name} is {table!r}", at, "write a table with unit, source and value")
    for key, value in table.items():
        if key not in _KEYS:
            raise HarnessError(f"{name} has an unknown field {key!r}", at, describe_known("fields", key, _KEYS))
        if key in _TEXTS and not isinstance(value, str):
            raise HarnessError(f"{name}: {key} is {value!r}", at, f"write {key} as text")
        if key in ("value", *_NAMED) and not _is_number(value):
            raise HarnessError(f"{name}: {key} is {value!r}", at, f"write a number, in {kind.unit}")
        if key in ("value", *_NAMED) and _is_beyond(value):
            raise HarnessError(
                f"{name}: {key} is {_shown(value)}", at, f"write a number from 1e-9 to 1e9, in {kind.unit}"
            )
    if table.get("unit") != kind.unit:
        given = f"unit is {table['unit']!r}" if "unit" in table else "unit is missing"
        raise HarnessError(f"{name}: {given}", at, f'give the value in {kind.unit}: unit = "{kind.unit}"')
    if not table.get("source", "").strip():
        raise HarnessError(f"{name} has no source", at, "say who measured it, and where that is published")
    try:
        value = _value(name, table)
    except ValueError as error:
        raise HarnessError(f"{name}: {error}", at, wanted) from error
    return Figure(value, table["source"], table.get("measured", ""), table.get("doubt", ""))


def parse_override(text: str) -> tuple[str, Figure]:
    """Return the figure that `NAME=0.6`, `NAME=p50:0.6,p99:1.2` or `NAME=100:0.5,200:0.9` (by count) describes.

    Raises:
        HarnessError: It is not understood; the message names the figure and the value.
    """
    name, equals, value = text.partition("=")
    name, where = name.strip(), f"in {text!r}"
    if not equals:
        raise HarnessError(f"{text!r} sets no figure", remedy="write NAME=VALUE, as store_latency=0.6")
    check_name(name, where)
    table: dict[str, Any] = {"unit": FIGURES[name].unit, "source": "given on the command line"}
    try:
        if ":" not in value:
            table["value"] = float(value)
        else:
            pairs = [part.partition(":")[::2] for part in value.split(",")]
            if FIGURES[name].form == "by_count":
                table["by_count"] = [[int(count), float(number)] for count, number in pairs]
            else:
                table |= {key.strip(): float(number) for key, number in pairs}
                if len({key.strip() for key, _ in pairs}) < len(pairs):
                    raise HarnessError(f"{name}: a quantile of {value!r} is given twice", where, "give each once")
    except ValueError as error:
        raise HarnessError(
            f"{value!r} is no value of {name}", where, "write a number, p50:0.6,p99:1.2, or 100:0.5,200:0.9"
        ) from error
    return name, figure_of(name, table, where)


def _value(name: str, table: Mapping[str, Any]) -> Value:
    kind = FIGURES[name]
    quantiles = {key: float(table[key]) for key in _NAMED if key in table}
    forms = [form for form in ("value", "by_count") if form in table] + ["quantiles"] * bool(quantiles)
    if len(forms) != 1:
        raise ValueError(f"it has both {' and '.join(forms)}" if forms else "it has no value")
    if (forms == ["by_count"]) != (kind.form == "by_count") or (quantiles and kind.form == "number"):
        raise ValueError(f"it cannot have {forms[0]}")
    if "by_count" in table:
        return _by_count(table["by_count"])
    if quantiles:
        return distribution(quantiles)
    number = float(table["value"])
    if not (0 < number < float("inf") or (number == 0 and kind.zero)):
        raise ValueError(f"value is {number:g}: it must be {'0 or more' if kind.zero else 'above 0'}, and finite")
    return Constant(number)


def _by_count(points: object) -> ByCount:
    if not isinstance(points, list) or len(points) < 2:
        raise ValueError(f"by_count is {points!r}: it needs two points or more")
    for point in points:
        if not (isinstance(point, list) and len(point) == 2 and type(point[0]) is int and _is_number(point[1])):
            raise ValueError(f"a point of by_count is {point!r}: write [number of functions, value]")
        if point[0] < 1 or not 0 < point[1] < float("inf"):
            raise ValueError(f"a point of by_count is {point!r}: it needs one function or more, and a value above 0")
        if any(map(_is_beyond, point)):
            shown = ", ".join(map(_shown, point))
            raise ValueError(f"a point of by_count is [{shown}]: write numbers from 1e-9 to 1e9")
    for (before, _), (after, _) in pairwise(points):
        if before >= after:
            raise ValueError(f"by_count has {after} functions after {before}: their numbers must ascend")
    return ByCount(tuple(count for count, _ in points), tuple(float(value) for _, value in points))


def _is_beyond(value: float) -> bool:
    return _LARGEST < value < float("inf") or 0 < value < _SMALLEST


def _shown(value: float) -> str:
    """Return a number in few characters: TOML's integers have no largest one, and floats do."""
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:20]}... ({len(text)} digits)"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
