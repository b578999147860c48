"""Write the figures of one run as JSON, and as the table in `benchmarks/README.md`."""

import statistics
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.figure import BenchmarkError, Figure
from benchmarks.machine import Machine

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- begin: written by make bench -->", "<!-- end -->"

HEADINGS = ("figure", "floor is", "floor: min, median", "ours: min, median", "ratio", "goal", "reached", "note")


@dataclass(frozen=True)
class Results:
    """The figures of one run, and the machine."""

    machine: Machine
    figures: tuple[Figure, ...]


def save(results: Results, path: Path) -> None:
    """Write the results as JSON, with all samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    temporary.replace(path)


def load(path: Path) -> Results:
    """Read a file that `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def cells(figure: Figure) -> tuple[str, ...]:
    """Return a figure's row in the table, one text per heading."""
    goal = str(figure.goal or "")
    if figure.not_measured:
        why = f"not measured: {figure.not_measured}"
        return (figure.name, figure.floor_name, "", "", "", goal, "", why)
    reached = {True: "yes", False: "no", None: ""}[figure.reached]
    floor, ours = _least_and_median(figure.floor), _least_and_median(figure.ours)
    ratio = f"{figure.ratio:.2f}"
    return (f"{figure.name}, {figure.unit}", figure.floor_name, floor, ours, ratio, goal, reached, figure.note)


def update_readme(results: Results, path: Path = README) -> None:
    """Replace the table between the marks of a Markdown file.

    Raises:
        BenchmarkError: The file lacks a mark.
    """
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BenchmarkError(f"{path}: no lines `{BEGIN}` and `{END}` with a table to replace between them")
    lines = [_row(HEADINGS), _row(["---"] * len(HEADINGS)), *(_row(cells(figure)) for figure in results.figures)]
    path.write_text("\n".join([f"{before}{BEGIN}", f"{results.machine}.", "", *lines, f"{END}{after}"]))


def _least_and_median(samples: tuple[float, ...]) -> str:
    return f"{number(min(samples))}, {number(statistics.median(samples))}"


def number(value: float) -> str:
    """Format a number with three significant digits, without an exponent."""
    digits = f"{value:.3g}"
    return f"{value:,.0f}" if "e" in digits and value >= 1 else digits


def _row(texts: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"
