"""Pictures of forecasts and of all-reduces, by matplotlib, as SVG or PNG: on a light background, with units."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.report.choice import workers
from harness.report.forecast import Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")
# A palette that colour-blind readers can distinguish: Okabe and Ito 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A00", "#555555")
# With more settings than these, only those of the frontier are labelled.
MOST_LABELLED = 16
_SETTINGS: Any = {
    "font.size": 10,
    "svg.hashsalt": "harness",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Where a label may be, in points from its point; the first one that is free is taken.
_PLACES = tuple(
    (distance * x, distance * y)
    for distance in (8, 16, 26, 38)
    for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1.3, 0), (-1.3, 0), (0, 1.4), (0, -1.4))
)


def frontier(lines: Iterable[Forecast]) -> list[Forecast]:
    """Return the settings that no other one beats in both time and cost, the quickest first."""
    found: list[Forecast] = []
    for line in sorted(lines, key=lambda one: (one.seconds, one.usd)):
        if not found or line.usd < found[-1].usd:
            found.append(line)
    return found


def draw_forecast(lines: Sequence[Forecast], path: Path, title: str) -> None:
    """Draw cost against time with bands and the efficient frontier.

    Args:
        lines: The settings.
        path: The file, whose ending is the format.
        title: What was forecast.

    Raises:
        HarnessError: The format is unknown, or the file cannot be written.
    """
    check_picture(path)
    figure, axes = _figure()
    sizes = sorted({line.memory_mb for line in lines})
    for size, colour in zip(sizes, _colours(len(sizes)), strict=True):
        its = [line for line in lines if line.memory_mb == size]
        axes.errorbar(
            [line.seconds for line in its],
            [line.usd for line in its],
            xerr=_bars(its, "seconds"),
            yerr=_bars(its, "usd"),
            fmt="o",
            markersize=5,
            color=colour,
            ecolor=colour,
            elinewidth=1,
            capsize=2,
            alpha=0.9,
            label=f"{size:,} MB",
        )
    best = frontier(lines)
    times, costs = [line.seconds for line in best], [line.usd for line in best]
    axes.plot(
        *(times, costs),
        drawstyle="steps-post",
        color="#444444",
        linewidth=1,
        linestyle="--",
        marker="o",
        markersize=10,
        markerfacecolor="none",
        zorder=1,
        label="efficient",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain(axes)
    axes.set_xlabel("time of the run, s (median, p10 to p90)")
    axes.set_ylabel("cost of the run, USD (median, p10 to p90)")
    figures = "; figures are numbers of workers" if len(lines) > MOST_LABELLED else ""
    axes.set_title(title + figures, loc="left", fontsize=11)
    axes.grid(visible=True, which="major", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.margins(0.12)
    axes.legend(title="memory of a worker", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    crowded = len(lines) > MOST_LABELLED
    labels = [
        (line.seconds, line.usd, str(line.workers) if crowded else workers(line.workers))
        for line in (best if crowded else lines)
    ]
    _label(figure, axes, labels, _points(lines))
    _save(figure, path)


def draw_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    dots: Mapping[str, Sequence[tuple[float, float]]],
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> None:
    """Draw lines and dots on two logarithmic axes.

    Args:
        lines: Points by name, all above 0.
        dots: Single points, by the name of their line.
        path: The file, whose ending is the format.
        title: The title.
        x_label: The label of the horizontal axis.
        y_label: The label of the vertical axis.

    Raises:
        HarnessError: The format is unknown, or the file cannot be written.
    """
    check_picture(path)
    figure, axes = _figure()
    for (name, points), colour in zip(lines.items(), _colours(len(lines)), strict=True):
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=2, label=name)
        if dots.get(name):
            axes.plot(*zip(*dots[name], strict=True), "o", color=colour, markersize=5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _plain(axes)
    axes.set_xticks(sorted({x for points in lines.values() for x, _ in points}))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(visible=True, which="major", color="#e5e5e5")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    _save(figure, path)


def check_picture(path: Path) -> None:
    """Raise if a file's name says no format.

    Raises:
        HarnessError: It does not end with one of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise HarnessError(
            f"{str(path)!r} has no format of a picture", "", f"end the file's name with {' or '.join(FORMATS)}"
        )


def _figure() -> "tuple[Figure, Axes]":
    # Only who draws waits for its import.
    import matplotlib as mpl  # noqa: PLC0415 - half a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415 - as above

    mpl.rcdefaults()
    mpl.rcParams.update(_SETTINGS)
    figure = NewFigure(figsize=(8, 5), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _bars(lines: Sequence[Forecast], name: str) -> list[list[float]]:
    middle = [getattr(line, name) for line in lines]
    return [
        [m - getattr(line, f"{name}_p10") for m, line in zip(middle, lines, strict=True)],
        [getattr(line, f"{name}_p90") - m for m, line in zip(middle, lines, strict=True)],
    ]


def _points(lines: Sequence[Forecast]) -> list[tuple[float, float]]:
    return [(line.seconds, line.usd) for line in lines]


def _plain(axes: "Axes") -> None:
    """Write numbers as people do, instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415 - with matplotlib

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        few = high / low < 30
        axis.set_major_locator(
            LogLocator(base=10, subs=(1, 1.5, 2, 3, 5, 7) if high / low < 5 else (1, 2, 5) if few else (1,))
        )
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())


def _label(
    figure: "Figure", axes: "Axes", labels: Sequence[tuple[float, float, str]], points: Sequence[tuple[float, float]]
) -> None:
    """Write labels beside their points, where they cover neither a point nor another label."""
    from matplotlib.text import Text  # noqa: PLC0415 - with matplotlib
    from matplotlib.transforms import Bbox  # noqa: PLC0415 - with matplotlib

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined] # Agg's
    inside = axes.get_window_extent(renderer)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(points)]
    for x, y, text in labels:
        for place in _PLACES:
            right, up = place
            note = axes.annotate(
                text,
                (x, y),
                xytext=place,
                textcoords="offset points",
                ha="left" if right > 0 else "right" if right < 0 else "center",
                va="bottom" if up > 0 else "top" if up < 0 else "center",
                fontsize=9,
                color="#222222",
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
            )
            note.update_positions(renderer)
            box = Text.get_window_extent(note, renderer)  # without the line to the point
            text_box = box.expanded(1.02, 1.1)
            free = not any(text_box.overlaps(other) for other in taken)
            if (
                free
                and inside.containsx(box.x0)
                and inside.containsx(box.x1)
                and inside.containsy(box.y0)
                and inside.containsy(box.y1)
            ):
                taken.append(text_box)
                break
            note.remove()


def _save(figure: "Figure", path: Path) -> None:
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
    try:
        figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise HarnessError(
            f"the picture cannot be written: {error.strerror}", str(path), "choose another file"
        ) from error
