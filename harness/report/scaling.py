"""The tables and charts of docs/scaling.md.

    python -m harness.report.scaling                    prints the tables
    python -m harness.report.scaling --pictures docs    also draws the charts

Cells are simulated if that takes seconds, and else computed in closed form, which the table marks with `~`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from harness.report.closed_form import phases, polls_within, seconds
from harness.report.network import ELASTICACHE, S3, Network
from harness.report.plot import draw_lines
from harness.report.simulate import simulate
from training.exchange.collectives.registry import REGISTRY

COLLECTIVES = tuple(REGISTRY)
WORLD_SIZES = (2, 8, 32, 64, 128, 256, 512, 1000)
# A linear model on HIGGS (29 floats); softmax on 28 x 28 pixels; a linear model on RCV1; neural networks.
PART_BYTES = {"116 B": 116, "31 KB": 31_400, "189 KB": 189_000, "1 MB": 1_000_000, "4 MB": 4_000_000, "100 MB": 10**8}
PICTURED = ("116 B", "189 KB")
# The cells of the table for S3.
S3_WORLD_SIZES, S3_PARTS = (2, 8, 32, 128), ("116 B", "1 MB", "100 MB")
# The limits of a simulation: a value takes some 15 microseconds of this machine, a poll that misses 100.
MOST_VALUES, MOST_VALUES_OF_SMALLEST, MOST_POLLS = 210_000, 1_100_000, 150_000
SEVERAL_NODES = 4
# Name a collective as the fastest only if it is faster than the last one by this factor.
WORTH_A_CHANGE = 0.9

# A part's name, a collective and a number of ranks.
CellKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class AllReduceTime:
    """The time of one all-reduce.

    Attributes:
        seconds: The time.
        simulated: Whether it was simulated.
    """

    seconds: float
    simulated: bool

    def text(self, *, quickest: bool) -> str:
        """Return the time as a table's cell."""
        text = f"{'' if self.simulated else '~'}{_time(self.seconds)}"
        return f"**{text}**" if quickest else text


@click.command()
@click.option(
    "--pictures", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Draw the charts in this folder."
)
def main(*, pictures: Path | None) -> None:
    """Print the tables of docs/scaling.md."""
    click.echo("ElastiCache, one node; time of one all-reduce:\n")
    cells = grid(ELASTICACHE, list(PART_BYTES), WORLD_SIZES)
    click.echo(table(cells, WORLD_SIZES))
    click.echo(f"\nElastiCache, {SEVERAL_NODES} nodes:\n")
    several = grid(replace(ELASTICACHE, nodes=SEVERAL_NODES), ["116 B", "189 KB", "4 MB"], WORLD_SIZES[3:])
    click.echo(table(several, WORLD_SIZES[3:]))
    click.echo("\nS3:\n")
    click.echo(table(grid(S3, list(S3_PARTS), S3_WORLD_SIZES), S3_WORLD_SIZES))
    click.echo("\nKnees on one node: ranks at which an all-reduce takes twice as long as with 2.\n")
    click.echo(knee_table(ELASTICACHE))
    if pictures is not None:
        for part in PICTURED:
            draw_chart(cells, part, pictures / f"scaling-{part.replace(' ', '').lower()}.svg")


def grid(
    network: Network, parts: Sequence[str], world_sizes: Sequence[int]
) -> dict[tuple[str, str, int], AllReduceTime]:
    """Return the cells by part, collective and number of ranks."""
    cells = {}
    for part in parts:
        for collective in COLLECTIVES:
            for world_size in world_sizes:
                sys.stderr.write(f"\r{part:8}{collective:16}{world_size:5} ")
                sys.stderr.flush()
                cells[part, collective, world_size] = cell(collective, world_size, PART_BYTES[part], network)
    sys.stderr.write("\n")
    return cells


def cell(collective: str, world_size: int, part_bytes: int, network: Network) -> AllReduceTime:
    """Return the time of one all-reduce, simulated if that does not take long."""
    estimate = seconds(collective, world_size, part_bytes, network)
    values = sum(phase.ranks * phase.values for phase in phases(collective, world_size, part_bytes))
    polls = world_size * polls_within(estimate, world_size, network.latency_s)
    most = MOST_VALUES_OF_SMALLEST if part_bytes == PART_BYTES["116 B"] and network is ELASTICACHE else MOST_VALUES
    if values > most or polls > MOST_POLLS:
        return AllReduceTime(estimate, simulated=False)
    return AllReduceTime(simulate(collective, world_size, part_bytes, network).seconds, simulated=True)


def table(cells: Mapping[CellKey, AllReduceTime], world_sizes: Sequence[int]) -> str:
    """Return a Markdown table, with the fastest for each part and number of ranks in bold."""
    lines = [f"| part | collective | {' | '.join(map(str, world_sizes))} |", f"|---|---|{'---|' * len(world_sizes)}"]
    for part in dict.fromkeys(part for part, _, _ in cells):
        best = {size: min(cells[part, name, size].seconds for name in COLLECTIVES) for size in world_sizes}
        for name in COLLECTIVES:
            row = (cells[part, name, size] for size in world_sizes)
            texts = (c.text(quickest=c.seconds == best[size]) for c, size in zip(row, world_sizes, strict=True))
            lines.append(f"| {part} | `{name}` | {' | '.join(texts)} |")
    return "\n".join(lines)


def knee(collective: str, part_bytes: int, network: Network) -> int | None:
    """Return the number of ranks from which an all-reduce takes twice as long as with 2; None if above 1,000."""
    limit = 2 * seconds(collective, 2, part_bytes, network)
    return next((w for w in range(3, 1001) if seconds(collective, w, part_bytes, network) > limit), None)


def knee_table(network: Network) -> str:
    """Return a table of each collective's knee, and of the fastest collective by number of ranks; in closed form."""
    lines = [f"| part | {' | '.join(f'`{name}`' for name in COLLECTIVES)} | quickest |", f"|---{'|---' * 5}|"]
    return "\n".join([*lines, *(knee_row(part, network) for part in PART_BYTES)])


def knee_row(part: str, network: Network) -> str:
    """Return the line of `knee_table` for one size of parts."""
    part_bytes = PART_BYTES[part]
    knees = (knee(name, part_bytes, network) or "over 1,000" for name in COLLECTIVES)
    return f"| {part} | {' | '.join(map(str, knees))} | {', '.join(_quickest(part_bytes, network))} |"


def draw_chart(cells: Mapping[CellKey, AllReduceTime], part: str, path: Path) -> None:
    """Draw all collectives for one part: lines in closed form, dots simulated."""
    part_bytes = PART_BYTES[part]
    draw_lines(
        {name: [(w, 1e3 * seconds(name, w, part_bytes, ELASTICACHE)) for w in WORLD_SIZES] for name in COLLECTIVES},
        {
            name: [(w, 1e3 * cells[part, name, w].seconds) for w in WORLD_SIZES if cells[part, name, w].simulated]
            for name in COLLECTIVES
        },
        path,
        title=f"One all-reduce of {part}, ElastiCache, one node",
        x_label="workers",
        y_label="time, ms (line: closed form; dots: simulated)",
    )


def _quickest(part_bytes: int, network: Network) -> Iterator[str]:
    last = ""
    for world_size in range(2, 1001):
        times = {name: seconds(name, world_size, part_bytes, network) for name in COLLECTIVES}
        name = min(times, key=times.__getitem__)
        if not last or times[name] < WORTH_A_CHANGE * times[last]:
            yield f"`{name}` from {world_size}"
            last = name


def _time(value: float) -> str:
    if value < 0.1:
        return f"{1e3 * value:.2g} ms" if value < 0.01 else f"{1e3 * value:.0f} ms"
    if value < 100:
        return f"{value:.2g} s"
    return f"{value:,.0f} s" if value < 7200 else f"{value / 3600:.0f} h"


if __name__ == "__main__":
    main()
