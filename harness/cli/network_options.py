"""Options for the emulated network of a run."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.presets.zones import ZONES
from harness.setting_tables import MOST_CACHE_NODES

if TYPE_CHECKING:
    from harness.presets.emulated_network import EmulatedNetwork

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

AWS = "aws"
# Figures of the processor: functions compute as fast as this machine does.
NOT_EMULATED = ("cpu_factor", "function_gflops")

_OPTIONS = [
    click.option(
        "--network",
        metavar="aws|PRESET",
        help="Emulate AWS's network and cold starts by a preset's figures: `aws` for the newest, a name that "
        "`harness presets` lists, or a TOML file.",
    ),
    click.option(
        "--set",
        "figures",
        multiple=True,
        metavar="NAME=VALUE",
        help='Set a figure of --network, for example "store_latency=0.6"; repeatable.',
    ),
    click.option(
        "--zones",
        type=click.IntRange(1, len(ZONES)),
        help="Spread the functions over so many zones; the cache is in the first.  [default: from harness.toml]",
    ),
    click.option(
        "--cache-nodes",
        type=click.IntRange(1, MOST_CACHE_NODES),
        help="Have so many nodes of the cache; keys are spread over them.  [default: from harness.toml]",
    ),
    click.option("--network-seed", type=click.IntRange(min=0), help="Seed of the draws of --network.  [default: 0]"),
]


def network_options(function: Decorated) -> Decorated:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def emulated_network(flags: dict[str, Any], zones: int) -> "EmulatedNetwork | None":
    """Return the network that a command's flags describe; None for this machine's own.

    Args:
        flags: The command's flags.
        zones: The number of zones that functions are in.

    Raises:
        HarnessError: There is no such preset, a figure is wrong or not emulated, or there are figures without
            --network.
    """
    if flags["network"] is None:
        _refuse_without_network(flags)
        return None
    from harness.presets.emulated_network import EmulatedNetwork
    from harness.presets.preset import DEFAULT, check_set_once, load_preset

    _refuse_figures_of_processors(flags["figures"])
    check_set_once(flags["figures"])
    preset = load_preset(DEFAULT if flags["network"] == AWS else flags["network"], flags["figures"])
    figures = {name: figure.value for name, figure in preset.figures.items()}
    return EmulatedNetwork(preset=preset.name, figures=figures, seed=flags["network_seed"] or 0, zones=zones)


def _refuse_figures_of_processors(figures: tuple[str, ...]) -> None:
    from harness.errors import HarnessError

    for text in figures:
        if text.partition("=")[0].strip() in NOT_EMULATED:
            raise HarnessError(
                "the processor is not emulated",
                f"--set {text}",
                "leave it out: functions compute as fast as this machine; `harness forecast --cpu-factor` counts on it",
            )


def _refuse_without_network(flags: dict[str, Any]) -> None:
    from harness.errors import HarnessError

    for option, value in {"--set": flags["figures"], "--network-seed": flags["network_seed"]}.items():
        if value not in ((), None):
            shown = f"{option} {value[0] if isinstance(value, tuple) else value}"
            raise HarnessError(f"{option} needs --network", shown, "add --network aws, or leave it out")
