"""Generate the tables of docs/presets.md, and word values for people.

`python -m harness.presets.table` writes them into the page; a test compares the two.
"""

import sys
from pathlib import Path

from harness.presets.distribution import Value
from harness.presets.figures import FIGURES
from harness.presets.preset import load_preset, shipped_presets
from harness.presets.prices import PRICES, Prices, load_prices, priced_regions
from harness.presets.writer import value_fields

PAGE = Path("docs/presets.md")


def describe_value(value: Value) -> str:
    """Return a value in words: `0.6`, `p50 27, p99 103`, or `0.53 at 100, 0.92 at 200`."""
    fields = value_fields(value)
    match fields:
        case {"value": float(number)}:
            return f"{number:g}"
        case {"by_count": list(points)}:
            return ", ".join(f"{number:g} at {count}" for count, number in points)
        case _:
            return ", ".join(f"{name} {number:g}" for name, number in fields.items())


def format_usd(usd: float) -> str:
    """Return a price without an exponent, as AWS's pages show it."""
    return f"{usd:.10f}".rstrip("0").rstrip(".")


def figure_table() -> str:
    """Return the table of what each figure means, with its value in each shipped preset."""
    presets = [load_preset(name) for name in shipped_presets()]
    lines = [
        f"| figure | what it is | unit | {' | '.join(preset.name for preset in presets)} |",
        f"|---|---|---|{'---|' * len(presets)}",
    ]
    for name, kind in FIGURES.items():
        values = " | ".join(describe_value(preset.value(name)) for preset in presets)
        lines.append(f"| `{name}` | {kind.meaning} | {kind.unit} | {values} |")
    return "\n".join(lines)


def source_table() -> str:
    """Return the table of where the default preset's figures come from."""
    lines = ["| figure | who measured it | where and when | doubt |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {figure.source} | {figure.measured} | {figure.doubt} |"
        for name, figure in load_preset().figures.items()
    ]
    return "\n".join(lines)


def price_table() -> str:
    """Return the table of the single prices by region."""
    regions = [load_prices(region) for region in priced_regions()]
    lines = [
        f"| price | what is paid | unit | {' | '.join(prices.region for prices in regions)} |",
        f"|---|---|---|{'---|' * len(regions)}",
    ]
    for name, kind in PRICES.items():
        lines.append(f"| `{name}` | {kind.meaning} | {kind.unit} | {_single(name, regions)} |")
    lines.append(f"| `cache_nodes` | a node of ElastiCache | USD/hour | {_types('cache_nodes', regions)} |")
    lines.append(f"| `ec2` | an instance of EC2 with Linux | USD/hour | {_types('ec2', regions)} |")
    return "\n".join(lines)


def _single(name: str, regions: list[Prices]) -> str:
    return " | ".join(format_usd(prices.single[name].usd) for prices in regions)


def _types(table: str, regions: list[Prices]) -> str:
    counts = [len(getattr(prices, table)) for prices in regions]
    return " | ".join(f"{count} types" if count else "none" for count in counts)


TABLES = {"figures": figure_table, "sources": source_table, "prices": price_table}


def with_tables(page: str) -> str:
    """Return the page's text with the tables as they are now, each between its two comments."""
    for name, make in TABLES.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        page = f"{before}{begin}{make()}\n{end}{after}" if end else page
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote the tables of {PAGE}\n")
