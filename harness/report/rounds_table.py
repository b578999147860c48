"""Tables of a round of a run on AWS's network: by part, collective and number of workers, in one zone or in two.

    python -m harness.report.rounds_table                 a round in one zone, while a function's burst lasts, and after
    python -m harness.report.rounds_table --zones 2       the same with the functions in two zones

Each cell is simulated by `harness.report.simulated_rounds`: mean rounds that follow one another, with drawn latencies.
"""

import sys
from collections.abc import Iterator, Sequence

import click

from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import DEFAULT, Preset, load_preset
from harness.presets.zones import ZONES
from harness.report.network import ELASTICACHE
from harness.report.simulated_rounds import simulate_emulated
from training.exchange.collectives.registry import REGISTRY

WORLD_SIZES = (2, 4, 8, 16, 32, 64)
PARTS = {"116 B": 116, "31 KB": 31_400, "189 KB": 189_000, "1 MB": 1_000_000, "4 MB": 4_000_000}
# A bucket that never empties, and one that holds no more than what is granted at once.
LASTING_BURST_MB, NO_BURST_MB = 1e9, 8.0
ROUNDS = 20


def round_seconds(
    preset: Preset, collective: str, world_size: int, part_bytes: int, *, zones: int = 1, burst_lasts: bool = False
) -> float:
    """Return the mean time of a round of a long run.

    Args:
        preset: The figures of the network.
        collective: A name of `training.exchange.collectives.registry.REGISTRY`.
        world_size: The number of workers, at least 2.
        part_bytes: The size of one worker's part in bytes.
        zones: The number of zones that the workers are in; the cache is in the first.
        burst_lasts: Whether the functions still have tokens of their burst.
    """
    figures = {name: figure.value for name, figure in preset.figures.items()}
    figures["function_burst"] = Constant(LASTING_BURST_MB if burst_lasts else NO_BURST_MB)
    emulated = EmulatedNetwork(preset=preset.name, figures=figures, zones=zones)
    return simulate_emulated(collective, world_size, part_bytes, ELASTICACHE, emulated, rounds=ROUNDS).period_s


def table(
    preset: Preset, parts: Sequence[str], world_sizes: Sequence[int], *, zones: int, burst_lasts: bool
) -> Iterator[str]:
    """Yield a Markdown table, with the fastest for each part and number of workers in bold."""
    yield f"| part | collective | {' | '.join(map(str, world_sizes))} |"
    yield f"|---|---|{'---|' * len(world_sizes)}"
    for part in parts:
        cells = {}
        for collective in REGISTRY:
            for world_size in world_sizes:
                sys.stderr.write(f"\r{part:8}{collective:16}{world_size:5} ")
                cells[collective, world_size] = round_seconds(
                    preset, collective, world_size, PARTS[part], zones=zones, burst_lasts=burst_lasts
                )
        best = {size: min(cells[name, size] for name in REGISTRY) for size in world_sizes}
        for name in REGISTRY:
            texts = (_text(cells[name, size], quickest=cells[name, size] == best[size]) for size in world_sizes)
            yield f"| {part} | `{name}` | {' | '.join(texts)} |"
    sys.stderr.write("\n")


def _text(seconds: float, *, quickest: bool) -> str:
    text = f"{1e3 * seconds:.2g} ms" if seconds < 0.01 else f"{1e3 * seconds:,.0f} ms"
    return f"**{text}**" if quickest else text


@click.command()
@click.option("--preset", "name", default=DEFAULT, show_default=True, help="The figures of the network.")
@click.option("--zones", type=click.IntRange(1, len(ZONES)), default=1, show_default=True, help="Zones of the workers.")
@click.option("--workers", default=",".join(map(str, WORLD_SIZES)), show_default=True, help="Numbers, with commas.")
@click.option("--part", "parts", type=click.Choice(list(PARTS)), multiple=True, help="A part; may be given again.")
def main(*, name: str, zones: int, workers: str, parts: tuple[str, ...]) -> None:
    """Print the tables."""
    preset = load_preset(name)
    world_sizes = [int(number) for number in workers.split(",")]
    for burst_lasts, heading in ((True, "While the burst lasts"), (False, "After the burst")):
        click.echo(f"{heading}; mean round, {zones} {'zone' if zones == 1 else 'zones'}, {preset.name}:\n")
        click.echo(
            "\n".join(table(preset, parts or list(PARTS), world_sizes, zones=zones, burst_lasts=burst_lasts)) + "\n"
        )


if __name__ == "__main__":
    main()
