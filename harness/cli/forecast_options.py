"""Options of `harness forecast` for all that it assumes of AWS: one for each figure of a preset, and for each rate."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.numbers import Number
from harness.presets.figures import FIGURES
from harness.presets.zones import ZONES

if TYPE_CHECKING:
    from harness.presets.preset import Preset
    from harness.report.assumptions import Assumptions
    from harness.report.measurements import Measured

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

FIGURE, RATE = "figure_", "rate_"
# Far above each price, size and time; products of such numbers are finite.
LARGEST = 1e6
# No forecast follows from it.
UNUSED = ("function_gflops",)
# As `harness.report.rates.RATES`, whose import would take a tenth of a second for --help.
RATE_HELP = {
    "lambda_price": "USD/GB-s; a function's memory size times its billed duration, x86.",
    "request_price": "USD/1M requests; invocations.",
    "store_price": "USD/node-hour; a node of the cache, in place of the price of --store-type.",
    "s3_get_price": "USD/1,000; reads from S3.",
    "s3_put_price": "USD/1,000; writes to S3 and lists of its keys.",
    "zone_price": "USD/GB; traffic of functions with another zone.",
    "endpoint_price": "USD/hour; the functions' interface endpoint, in each zone.",
}
_DEFAULT = Path(__file__).parents[1] / "presets" / "data" / "aws-2026.toml"
_TEXTS = ("unit", "source", "measured", "doubt")


class FigureValue(click.ParamType[str]):
    """A figure's value: a number, quantiles, or values by the number of functions.

    Args:
        name: The figure.
    """

    name = "VALUE"

    def __init__(self, name: str) -> None:
        self._name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """Check the value, and return it as an override of a preset."""
        from harness.errors import HarnessError
        from harness.presets.preset import parse_override

        text = str(value)
        if text.startswith(f"{self._name}="):
            return text
        try:
            parse_override(f"{self._name}={text}")
        except HarnessError as error:
            message = str(error).splitlines()
            self.fail("; ".join([f"{text!r}", message[0], *message[2:]]), param, ctx)
        return f"{self._name}={text}"


_GENERAL = [
    click.option(
        "--preset",
        default="aws-2026",
        show_default=True,
        help="Take AWS's figures from this preset: a name that `harness presets` lists, or a TOML file.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="NAME=VALUE",
        help='Set a figure of the preset, as "store_latency=p50:0.6,p99:1.2"; repeatable.',
    ),
    click.option(
        "--zones",
        type=click.IntRange(1, len(ZONES)),
        default=1,
        show_default=True,
        help="Spread the functions over so many zones; the cache is in the first.",
    ),
    click.option(
        "--store-nodes",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="The number of the cache's nodes.",
    ),
    click.option(
        "--store-type",
        default="cache.t3.medium",
        show_default=True,
        help="The type of the cache's nodes, which has a price; `store_bandwidth` is its bandwidth.",
    ),
    click.option(
        "--image-mb",
        type=Number(0, LARGEST),
        default=0.0,
        show_default=True,
        help="MB by which the worker's image is larger than AWS's base image.",
    ),
    click.option(
        "--package",
        type=click.Choice(["zip", "image"]),
        help="Start functions from zips or from images.  [default: as in the run]",
    ),
    click.option(
        "--imports",
        "imports_s",
        type=Number(0, LARGEST),
        help="Seconds from the start of a worker's process to its first invocation.  [default: as in the run, "
        "where a function in process mode finds its libraries imported]",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all draws."),
]


def assumption_options(function: Decorated) -> Decorated:
    """Add `--preset`, `--set`, `--zones`, the cache's nodes, and an option for each figure and each rate."""
    for option in reversed([*_GENERAL, *_figure_options(), *_rate_options()]):
        function = option(function)
    return function


def assumptions_of(flags: dict[str, Any], region: str | None, coordinator_mb: int) -> "Assumptions":
    """Return what the flags assume of AWS.

    Args:
        flags: The command's flags.
        region: The region whose prices count; None for the default.
        coordinator_mb: The memory size of the coordinator.

    Raises:
        HarnessError: There is no such preset, region or type of node, or a figure is wrong.
    """
    from harness.presets.prices import DEFAULT_REGION, load_prices
    from harness.report.assumptions import Assumptions
    from harness.report.rates import rates_of

    changed = {name.removeprefix(RATE): value for name, value in flags.items() if name.startswith(RATE)}
    return Assumptions(
        preset=_preset(flags),
        rates=rates_of(load_prices(region or DEFAULT_REGION), flags["store_type"], changed),
        zones=flags["zones"],
        nodes=flags["store_nodes"],
        image_mb=flags["image_mb"],
        coordinator_mb=coordinator_mb,
        seed=flags["seed"],
    )


def as_assumed(run: "Measured", flags: dict[str, Any]) -> "Measured":
    """Return what was measured, with what the flags assume in its place.

    Raises:
        click.UsageError: The flags give an image's size to functions that start from zips.
    """
    from dataclasses import replace

    package, imports_s = flags["package"], flags["imports_s"]
    image = run.image if package is None else package == "image"
    if flags["image_mb"] and not image:
        raise click.UsageError("--image-mb is of functions that start from images: add --package image")
    return replace(
        run,
        image=image,
        imports_s=run.imports_s if imports_s is None else imports_s,
        assumed=run.assumed if imports_s is None else (),
    )


def _preset(flags: dict[str, Any]) -> "Preset":
    from harness.presets.preset import check_set_once, load_preset

    own = [value for name, value in flags.items() if name.startswith(FIGURE) and value is not None]
    overrides = [*flags["overrides"], *own]
    check_set_once(overrides)
    return load_preset(flags["preset"], overrides)


def _figure_options() -> "list[Callable[[Decorated], Decorated]]":
    """Return an option for each figure, with its value in the default preset and the source of that."""
    tables = tomllib.loads(_DEFAULT.read_text(encoding="utf-8"))["figures"]
    return [
        click.option(
            f"--{name.replace('_', '-')}",
            FIGURE + name,
            type=FigureValue(name),
            help=f"{kind.unit}; {kind.meaning}.  [{_DEFAULT.stem}: {_value_and_source(tables[name])}]",
        )
        for name, kind in FIGURES.items()
        if name not in UNUSED
    ]


def _rate_options() -> "list[Callable[[Decorated], Decorated]]":
    """Return an option for each rate."""
    return [
        click.option(
            f"--{name.replace('_', '-')}",
            RATE + name,
            type=Number(0, LARGEST),
            help=f"{text}  [default: the region's; `harness presets --prices REGION` has the source]",
        )
        for name, text in RATE_HELP.items()
    ]


def _value_and_source(table: dict[str, Any]) -> str:
    if "by_count" in table:
        texts = [f"{value:g} at {count}" for count, value in table["by_count"]]
    else:
        values = {name: value for name, value in table.items() if name not in _TEXTS}
        texts = [f"{value:g}" if name == "value" else f"{name} {value:g}" for name, value in values.items()]
    return f"{', '.join(texts)}; {table['source']}"
