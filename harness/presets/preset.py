"""Presets: the figures of AWS by name, each with its source, from a TOML file; see docs/presets.md.

name = "mine"
about = "measured on our deployment"
base = "aws-2026"                   # figures that are not given here; leave it out and all must be given

[figures.store_latency]
unit = "ms"
p50 = 0.61                          # or value = 0.6, or by_count = [[100, 0.53], [200, 0.92]]
p99 = 0.9
source = "harness calibrate"
measured = "2026-12-01, us-east-1"
doubt = "one hour of one day"
"""

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness.errors import HarnessError
from harness.presets.distribution import QUANTILES, ByCount, Constant, Value, distribution
from harness.presets.figures import FIGURES

SHIPPED = Path(__file__).parent / "data"
DEFAULT = "aws-2026"

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_NAMED = (*QUANTILES, "mean", "min", "max")


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


class Preset(msgspec.Struct, frozen=True):
    """A set of all figures.

    Attributes:
        name: Its name.
        about: What it is, in one line.
        figures: Every figure of the catalogue, by name.
    """

    name: str
    about: str
    figures: dict[str, Figure]

    def value(self, name: str) -> Value:
        """Return a figure's value."""
        return self.figures[name].value

    def typical(self, name: str) -> float:
        """Return a figure's number, or the median of its distribution."""
        value = self.figures[name].value
        if isinstance(value, ByCount):
            raise TypeError(f"{name} depends on the number of functions")
        return value.typical


class _FigureTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: _Text
    source: _Text
    measured: str = ""
    doubt: str = ""
    value: float | None = None
    by_count: list[tuple[int, float]] | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99_9: float | None = msgspec.field(default=None, name="p99.9")
    mean: float | None = None
    min: float | None = None
    max: float | None = None


class _PresetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: _Text
    figures: dict[str, dict[str, Any]]
    about: str = ""
    base: str | None = None


def shipped_presets() -> list[str]:
    """Return the names of the presets that the harness ships, the default first."""
    names = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    return sorted(names, key=lambda name: name != DEFAULT)


def load_preset(name: str = DEFAULT, overrides: Iterable[str] = ()) -> Preset:
    """Return a preset.

    Args:
        name: A name of `shipped_presets`, or the path of a TOML file.
        overrides: Figures that differ, as `NAME=VALUE`; see `parse_override`.

    Raises:
        HarnessError: There is no such preset, or it or an override is wrong; the message names the figure.
    """
    preset = _read(name, ())
    changed = dict(map(parse_override, overrides))
    return msgspec.structs.replace(preset, figures=preset.figures | changed) if changed else preset


def parse_override(text: str) -> tuple[str, Figure]:
    """Return the figure that `NAME=0.6`, `NAME=p50:0.6,p99:1.2` or `NAME=100:0.5,200:0.9` (by count) describes.

    Raises:
        HarnessError: It is not understood.
    """
    name, equals, value = text.partition("=")
    where = f"in `{text}`"
    if not equals:
        raise HarnessError(f"{text!r} is no figure", remedy="write NAME=VALUE, as store_latency=0.6")
    _check_name(name, where)
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
    except ValueError as error:
        raise HarnessError(
            f"{value!r} is no value of {name}", where, "write a number, p50:0.6,p99:1.2, or 100:0.5,200:0.9"
        ) from error
    return name, _figure(name, table, where)


def _read(name: str, within: tuple[str, ...]) -> Preset:
    path = SHIPPED / f"{name}.toml"
    if name not in shipped_presets():
        path = Path(name)
        if not path.is_file():
            close = get_close_matches(name, shipped_presets(), n=1)
            known = f"known: {', '.join(shipped_presets())}; or give the path of a TOML file"
            raise HarnessError(
                f"there is no preset {name!r}", remedy=f"did you mean {close[0]}? {known}" if close else known
            )
    key = str(path.resolve())
    if key in within:
        raise HarnessError("the preset is based on itself", str(path), "change `base`")
    try:
        content = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _PresetFile)
    except (OSError, ValueError) as error:
        raise HarnessError(f"the preset cannot be read: {error}", str(path), "see docs/presets.md") from error
    base = _read(content.base, (*within, key)).figures if content.base else {}
    for figure in content.figures:
        _check_name(figure, str(path))
    given = {figure: _figure(figure, table, str(path)) for figure, table in content.figures.items()}
    figures: dict[str, Figure] = {**base, **given}
    missing = [figure for figure in FIGURES if figure not in figures]
    if missing:
        raise HarnessError(
            f"the preset lacks {', '.join(missing)}",
            str(path),
            f'add them, or take them from another: base = "{DEFAULT}"',
        )
    return Preset(content.name, content.about, {figure: figures[figure] for figure in FIGURES})


def _check_name(name: str, where: str) -> None:
    if name not in FIGURES:
        close = get_close_matches(name, FIGURES, n=1)
        known = f"known: {', '.join(FIGURES)}"
        raise HarnessError(
            f"there is no figure {name!r}", where, f"did you mean {close[0]}? {known}" if close else known
        )


def _figure(name: str, table: Mapping[str, Any], where: str) -> Figure:
    kind = FIGURES[name]
    at = f"figures.{name}, {where}"
    try:
        given = msgspec.convert(table, _FigureTable)
    except msgspec.ValidationError as error:
        raise HarnessError(f"{name}: {error}", at, f"a figure has unit, source, and {_wanted(name)}") from error
    if given.unit != kind.unit:
        raise HarnessError(f"{name}: unit is {given.unit!r}", at, f"give the value in {kind.unit}, and say so")
    quantiles = {key: table[key] for key in _NAMED if key in table}
    forms = [given.value is not None, given.by_count is not None, bool(quantiles)]
    if sum(forms) != 1:
        raise HarnessError(f"{name} has {'no value' if not any(forms) else 'more than one value'}", at, _wanted(name))
    try:
        return Figure(_value(name, given, quantiles), given.source, given.measured, given.doubt)
    except ValueError as error:
        raise HarnessError(f"{name}: {error}", at, _wanted(name)) from error


def _value(name: str, given: _FigureTable, quantiles: Mapping[str, float]) -> Value:
    kind = FIGURES[name]
    form = "by_count" if given.by_count is not None else "distribution" if quantiles else "number"
    if (form == "by_count") != (kind.form == "by_count") or (form == "distribution" and kind.form == "number"):
        raise ValueError(f"it cannot be a {form.replace('_', ' ')}")
    if given.by_count is not None:
        counts, values = (tuple(each) for each in zip(*given.by_count, strict=True)) if given.by_count else ((), ())
        if len(counts) < 2 or any(a >= b for a, b in zip(counts, counts[1:], strict=False)) or counts[0] < 1:  # noqa: PLR2004
            raise ValueError("by_count needs two or more points with ascending numbers of functions, from 1")
        if not all(0 < value < float("inf") for value in values):
            raise ValueError("the values of by_count must be above 0")
        return ByCount(counts, values)
    if given.value is None:
        return distribution(quantiles)
    if not (0 < given.value < float("inf") or (given.value == 0 and kind.zero)):
        raise ValueError(f"value is {given.value:g}: it must be {'0 or more' if kind.zero else 'above 0'}")
    return Constant(given.value)


def _wanted(name: str) -> str:
    return {
        "number": "`value`",
        "distribution": "`value`, or quantiles such as `p50` and `p99`, or `mean`, `min` and `max`",
        "by_count": "`by_count`, as [[100, 0.53], [200, 0.92]]",
    }[FIGURES[name].form]
