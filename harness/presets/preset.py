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

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from harness.errors import HarnessError
from harness.presets.distribution import ByCount, Value
from harness.presets.figure import Figure, check_name, figure_of, parse_override
from harness.presets.figures import FIGURES
from harness.presets.source_file import find_file, read_toml, shipped_names

SHIPPED = Path(__file__).parent / "data"
DEFAULT = "aws-2026"
# Summaries and tables print the name.
_LONGEST_NAME = 80
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

__all__ = ["DEFAULT", "SHIPPED", "Figure", "Preset", "load_preset", "parse_override", "shipped_presets"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Preset(msgspec.Struct, frozen=True):
    """A set of all figures.

    Attributes:
        name: Its name.
        about: What it is, in one line.
        figures: Every figure of the catalogue, by name and in the catalogue's order.
    """

    name: str
    about: str
    figures: dict[str, Figure]

    def value(self, name: str) -> Value:
        """Return a figure's value."""
        return self.figures[name].value

    def typical(self, name: str) -> float:
        """Return a figure's number, or the median of its distribution.

        Raises:
            TypeError: The figure depends on the number of functions: ask its value `at` a number.
        """
        value = self.figures[name].value
        if isinstance(value, ByCount):
            raise TypeError(f"{name} depends on the number of functions")
        return value.typical


class _PresetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: _Text
    # Checked one by one, with messages of their own.
    figures: dict[str, object] = {}
    about: str = ""
    base: str | None = None


def shipped_presets() -> list[str]:
    """Return the names of the presets that the harness ships, the default first."""
    return sorted(shipped_names(SHIPPED), key=lambda name: name != DEFAULT)


def load_preset(name: str = DEFAULT, overrides: Iterable[str] = ()) -> Preset:
    """Return a preset.

    Args:
        name: A name of `shipped_presets`, or the path of a TOML file.
        overrides: Figures that differ, as `NAME=VALUE`; see `harness.presets.figure.parse_override`.

    Raises:
        HarnessError: There is no such preset, or it or an override is wrong; the message names the figure.
    """
    preset = _read(find_file(name, SHIPPED, "preset"), ())
    changed = dict(map(parse_override, overrides))
    return msgspec.structs.replace(preset, figures=preset.figures | changed) if changed else preset


def check_set_once(overrides: Iterable[str]) -> None:
    """Raise if a user sets a figure twice: one of the two values would be ignored.

    Raises:
        HarnessError: A figure is set twice, or an override is wrong.
    """
    names: set[str] = set()
    for text in overrides:
        name, _ = parse_override(text)
        if name in names:
            raise HarnessError(f"{name} is set twice", f"in {text!r}", "set it once")
        names.add(name)


def _read(path: Path, within: tuple[Path, ...]) -> Preset:
    where, identity = str(path), path.resolve()
    if identity in within:
        raise HarnessError("the preset is based on itself", " -> ".join(map(str, (*within, identity))), "change `base`")
    try:
        content = msgspec.convert(read_toml(path, "preset"), _PresetFile)
    except msgspec.ValidationError as error:
        raise HarnessError(
            f"the preset is wrong: {error}", where, "a preset has name, about, base and figures; see docs/presets.md"
        ) from error
    if len(content.name) > _LONGEST_NAME or _CONTROL.search(content.name):
        shown = content.name[:_LONGEST_NAME]
        raise HarnessError(
            f"the preset's name is {shown!r}", where, f"write up to {_LONGEST_NAME} printable characters"
        )
    base: dict[str, Figure] = {}
    if content.base is not None:
        base = _read(find_file(content.base, SHIPPED, "preset", beside=path), (*within, identity)).figures
    for figure in content.figures:
        check_name(figure, where)
    given = {figure: figure_of(figure, table, where) for figure, table in content.figures.items()}
    figures = base | given
    missing = [figure for figure in FIGURES if figure not in figures]
    if missing:
        raise HarnessError(
            f"the preset lacks {', '.join(missing)}", where, f'add them, or take them from another: base = "{DEFAULT}"'
        )
    return Preset(content.name, content.about, {figure: figures[figure] for figure in FIGURES})
