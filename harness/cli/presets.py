"""`harness presets`: the figures and prices of AWS, with their sources."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.presets.preset import Preset
    from harness.presets.prices import Price, Prices

# From this width on, a table with four columns is easier to read than one with two.
_WIDE = 140


@click.command("presets")
@click.argument("name", required=False)
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Show NAME with this value instead.")
@click.option("--prices", "region", metavar="REGION", help="Print the prices of REGION, as eu-central-1.")
@click.option("--price-list", metavar="LIST", help="Take the prices from this list, or this TOML file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *, name: str | None, overrides: tuple[str, ...], region: str | None, price_list: str | None, as_json: bool
) -> None:
    """List presets, or print the figures of the preset NAME, a TOML file or the name of a shipped one.

    A preset has the figures of AWS that forecasts and emulated networks use. Each comes with who measured it, where and
    when, and why it may not hold for you. `--prices` prints what AWS charges in a region.

    \b
    Example:
      harness presets aws-2026
      harness presets --prices eu-central-1
    """
    from harness.presets.preset import DEFAULT, check_set_once, load_preset
    from harness.presets.prices import DEFAULT_LIST, load_prices

    if name is not None and region is not None:
        raise click.UsageError("--prices takes no preset; print one of the two")
    if price_list is not None and region is None:
        raise click.UsageError("--price-list needs --prices REGION")
    if region is not None:
        if overrides:
            raise click.UsageError("--set takes a figure of a preset, and --prices prints none")
        _print_prices(load_prices(region, price_list or DEFAULT_LIST), as_json=as_json)
    elif name is not None or overrides:
        check_set_once(overrides)
        _print_preset(load_preset(DEFAULT if name is None else name, overrides), as_json=as_json)
    else:
        _print_names(as_json=as_json)


def _print_names(*, as_json: bool) -> None:
    from harness.cli._table import TableColumn, print_table
    from harness.presets.preset import DEFAULT, load_preset, shipped_presets
    from harness.presets.prices import priced_regions, shipped_price_lists
    from harness.system.console import result

    presets = [load_preset(name) for name in shipped_presets()]
    lists = {name: priced_regions(name) for name in shipped_price_lists()}
    if as_json:
        named = [{"name": preset.name, "about": preset.about, "default": preset.name == DEFAULT} for preset in presets]
        prices = [{"name": name, "regions": regions} for name, regions in lists.items()]
        click.echo(json.dumps({"presets": named, "price_lists": prices}))
        return
    print_table(
        [TableColumn("preset"), TableColumn("what it is", folds=True)],
        [(preset.name, preset.about + (" (the default)" if preset.name == DEFAULT else "")) for preset in presets],
    )
    result("")
    print_table(
        [TableColumn("price list"), TableColumn("regions", folds=True)],
        [(name, ", ".join(regions)) for name, regions in lists.items()],
    )


def _print_preset(preset: "Preset", *, as_json: bool) -> None:
    from harness.presets.figures import FIGURES
    from harness.presets.table import describe_value
    from harness.presets.writer import figure_fields
    from harness.system.console import result

    if as_json:
        figures = {
            name: {"meaning": FIGURES[name].meaning, **figure_fields(name, figure)}
            for name, figure in preset.figures.items()
        }
        click.echo(json.dumps({"name": preset.name, "about": preset.about, "figures": figures}, ensure_ascii=False))
        return
    result(f"{preset.name}: {preset.about}")
    result("")
    _print_figures(
        [
            (
                name,
                f"{describe_value(figure.value)} {FIGURES[name].unit}",
                "; ".join(text for text in (figure.source, figure.measured) if text),
                figure.doubt,
            )
            for name, figure in preset.figures.items()
        ]
    )


def _print_prices(prices: "Prices", *, as_json: bool) -> None:
    from harness.cli._table import TableColumn, figures, print_table
    from harness.presets.prices import CACHE_NODE, EC2_INSTANCE, PRICES
    from harness.presets.table import format_usd
    from harness.system.console import result

    groups: Iterable[tuple[dict[str, Price], str]] = (
        (prices.cache_nodes, CACHE_NODE.unit),
        (prices.ec2, EC2_INSTANCE.unit),
    )
    rows = [(name, price, PRICES[name].unit) for name, price in prices.single.items()]
    rows += [(name, price, unit) for group, unit in groups for name, price in group.items()]
    if as_json:
        listed = {
            name: {"usd": price.usd, "unit": unit, "source": price.source, "date": price.date, "doubt": price.doubt}
            for name, price, unit in rows
        }
        heads = {"price_list": prices.price_list, "date": prices.date, "region": prices.region}
        click.echo(json.dumps({**heads, "prices": listed}))
        return
    result(f"{prices.region}, on demand: price list {prices.price_list}")
    result("")
    sources = list(dict.fromkeys((price.source, price.date, price.doubt) for _, price, _ in rows))
    print_table(
        [TableColumn("price"), *figures("USD"), TableColumn("per"), *figures("source")],
        [
            (
                name,
                format_usd(price.usd),
                unit.removeprefix("USD/"),
                str(1 + sources.index((price.source, price.date, price.doubt))),
            )
            for name, price, unit in rows
        ],
    )
    result("")
    print_table(
        [TableColumn("source"), TableColumn("who says so", folds=True), TableColumn("doubt", folds=True)],
        [(str(number), f"{source}; {date}", doubt) for number, (source, date, doubt) in enumerate(sources, 1)],
    )


def _print_figures(rows: "Sequence[tuple[str, str, str, str]]") -> None:
    """Print figures with their values, sources and doubts: in a row each where there is room, else in two columns."""
    from rich.text import Text

    from harness.cli._table import TableColumn, print_table
    from harness.cli._terminal import printable
    from harness.system.console import HEADING, results

    if results().width >= _WIDE:
        titles = ("value", "source", "doubt")
        print_table([TableColumn("figure"), *(TableColumn(title, folds=True) for title in titles)], rows)
        return
    cells = [
        (
            Text.assemble((printable(name), HEADING), f"\n{printable(value)}"),
            Text("\n".join(map(printable, (source, f"doubt: {doubt}") if doubt else (source,)))),
        )
        for name, value, source, doubt in rows
    ]
    print_table([TableColumn("figure", folds=True), TableColumn("source", folds=True)], cells)
