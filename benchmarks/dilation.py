"""Dilated presets: AWS's network as a machine sees it that is `factor` times as quick, so that few cores suffice.

Two cores cannot compute like 32 functions: at AWS's 0.66 ms a trip, rounds of 32 workers here take as long as their
processes need for a turn on a core, and say nothing about a network. If everything between the functions and the cache
takes ten times as long, the same processes need a tenth of it: latencies and pulses are multiplied by the factor,
bandwidths are divided by it, and sizes stay (time dilation: Gupta et al., NSDI 2006).

Starts and S3 have a smaller factor of their own. A rank that waits for long lists the run's folder in S3, at fixed
times; with a list of seconds in place of 27 ms, these questions would become most of the run.
"""

import tomllib
from pathlib import Path
from typing import Any

from harness.presets.figures import FIGURES
from harness.presets.preset import DEFAULT, SHIPPED

# The power of the factor that a unit is multiplied with.
_POWERS = {"ms": 1, "s": 1, "ms/MB": 1, "MB/s": -1, "requests/s": -1, "x": 0, "MB": 0, "GFLOP/s": 0}
# Figures of what is around the rounds.
_AROUND = ("fan_out", "cold_start", "s3_")
_TEXTS = ("unit", "source", "measured", "doubt")


def dilated(name: str, factor: float, around: float, **changed: float) -> str:
    """Return the default preset, dilated, as a preset file's text.

    Args:
        name: The new preset's name.
        factor: How many times as long everything between functions and cache takes.
        around: How many times as long starts and S3 take.
        changed: Values of figures before they are dilated, in place of the default preset's.
    """
    figures = tomllib.loads((SHIPPED / f"{DEFAULT}.toml").read_text(encoding="utf-8"))["figures"]
    lines = [f'name = "{name}"', f'about = "{DEFAULT}, {factor:g} times as slow, starts and S3 {around:g} times"']
    for figure, table in figures.items():
        given = {"value": changed[figure]} if figure in changed else _values(table)
        scale = (around if figure.startswith(_AROUND) else factor) ** _POWERS[FIGURES[figure].unit]
        lines += [f"\n[figures.{figure}]", f'unit = "{FIGURES[figure].unit}"', f'source = "{DEFAULT}, dilated"']
        lines += [f'"{key}" = {_scaled(value, scale)}' for key, value in given.items()]
    return "\n".join(lines) + "\n"


def write_dilated(folder: Path, name: str, factor: float, around: float, **changed: float) -> Path:
    """Write a dilated preset into a folder; see `dilated`."""
    path = folder / f"{name}.toml"
    path.write_text(dilated(name, factor, around, **changed), encoding="utf-8")
    return path


def _values(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in _TEXTS}


def _scaled(value: Any, scale: float) -> str:  # noqa: ANN401 - a number, or pairs of a number and another
    if isinstance(value, list):
        return str([[count, scale * number] for count, number in value])
    return repr(float(scale * value))
