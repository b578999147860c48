"""Write figures as `load_preset` reads them: as TOML, and as a record for JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping

from harness.presets.distribution import QUANTILES, ByCount, Constant, Value, normal_quantile
from harness.presets.figure import Figure
from harness.presets.figures import FIGURES


def format_preset(name: str, figures: Mapping[str, Figure], *, about: str = "", base: str | None = None) -> str:
    """Return the text of a preset's file.

    Args:
        name: The preset's name.
        figures: Its figures, by name.
        about: What it is, in one line.
        base: The preset with all other figures; None if `figures` are all.
    """
    heads = {"name": name, "about": about, **({"base": base} if base else {})}
    parts = ["\n".join(_lines(heads.items()))]
    parts += [
        "\n".join([f"[figures.{key}]", *_lines(figure_fields(key, figure).items())]) for key, figure in figures.items()
    ]
    return "\n\n".join(parts) + "\n"


def figure_fields(name: str, figure: Figure) -> dict[str, object]:
    """Return the fields of a figure's table."""
    texts = {"source": figure.source, "measured": figure.measured, "doubt": figure.doubt}
    return {
        "unit": FIGURES[name].unit,
        **value_fields(figure.value),
        **{key: text for key, text in texts.items() if text},
    }


def value_fields(value: Value) -> dict[str, object]:
    """Return the fields of a value: `value`, `by_count`, or quantiles with `min` and `max`."""
    if isinstance(value, Constant):
        return {"value": value.value}
    if isinstance(value, ByCount):
        return {"by_count": [list(point) for point in zip(value.counts, value.values, strict=True)]}
    numbers = dict(zip(value.z, value.values, strict=True))
    quantiles = {name: numbers.get(normal_quantile(probability)) for name, probability in QUANTILES.items()}
    named = {"min": value.low or None, **quantiles, "max": value.high}
    # A maximum that stands for a quantile is written once, as what it is.
    if named["p99.9"] == named["max"]:
        del named["p99.9"]
    return {name: number for name, number in named.items() if number is not None}


def _lines(fields: Iterable[tuple[str, object]]) -> Iterator[str]:
    for key, value in fields:
        # JSON's numbers, lists and strings are TOML's, but for one control character.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        yield f"{key if key.isalnum() or '_' in key else json.dumps(key)} = {text}"
