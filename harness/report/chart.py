"""A line chart with two logarithmic axes, as SVG."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

# A palette that colour-blind readers can distinguish: Okabe and Ito 2008.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 130, 40, 50
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_LABEL_GAP = 15


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        title: Its title.
        x_label: The label of the horizontal axis.
        y_label: The label of the vertical axis.
        lines: Points (x, y) by name, all above 0; the name is drawn at the end of its line.
        dots: Single points, by the name of their line.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    dots: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class _Plot:
    """The scales of both axes.

    Attributes:
        xs: The smallest and the largest x.
        ys: The smallest and the largest y.
    """

    xs: tuple[float, float]
    ys: tuple[float, float]

    def across(self, x: float) -> float:
        low, high = self.xs
        return _LEFT + _PLOT_WIDTH * math.log(x / low) / math.log(high / low)

    def down(self, y: float) -> float:
        low, high = self.ys
        return _TOP + _PLOT_HEIGHT * (1 - math.log(y / low) / math.log(high / low))


def svg(chart: Chart) -> str:
    """Return the chart as an SVG document."""
    points = [point for line in chart.lines.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = 10.0 ** math.floor(math.log10(min(ys))), 10.0 ** math.ceil(math.log10(max(ys)))
    plot = _Plot((min(xs), max(xs)), (low, high))
    view = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, chart.title, size=14),
        _text(_LEFT + _PLOT_WIDTH / 2, _HEIGHT - 12, chart.x_label, anchor="middle"),
        f'<g transform="translate(16 {_TOP + _PLOT_HEIGHT / 2}) rotate(-90)">',
        _text(0, 0, chart.y_label, anchor="middle"),
        "</g>",
        *_grid(plot, sorted(set(xs))),
    ]
    ends = []
    for (name, line), colour in zip(chart.lines.items(), _COLOURS, strict=False):
        path = " ".join(f"{plot.across(x):.1f},{plot.down(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(
            f'<circle cx="{plot.across(x):.1f}" cy="{plot.down(y):.1f}" r="3.5" fill="{colour}"/>'
            for x, y in chart.dots.get(name, ())
        )
        ends.append((plot.down(line[-1][1]), name, colour))
    return "\n".join([*parts, *_labels(ends), "</svg>\n"])


def _grid(plot: _Plot, xs: list[float]) -> Iterator[str]:
    """Yield a labelled line for each power of ten of y, and the labels of x."""
    low, high = (round(math.log10(y)) for y in plot.ys)
    for exponent in range(low, high + 1):
        y = plot.down(10.0**exponent)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _PLOT_WIDTH}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(_LEFT - 8, y + 4, f"1e{exponent}" if exponent > 4 else f"{10.0**exponent:g}", anchor="end")
    for x in xs:
        yield _text(plot.across(x), _TOP + _PLOT_HEIGHT + 18, f"{x:g}", anchor="middle")


def _labels(ends: list[tuple[float, str, str]]) -> Iterator[str]:
    """Yield names at the ends of lines, moved apart where they would overlap."""
    free_from = 0.0
    for end, name, colour in sorted(ends):
        y = max(end, free_from)
        free_from = y + _LABEL_GAP
        yield _text(_LEFT + _PLOT_WIDTH + 8, y + 4, name, colour=colour)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
    )
