"""The table of forecasts: with all parts where the terminal is wide, else with the largest one."""

from collections.abc import Sequence

from harness.cli._table import TableColumn, figures, fits, print_table
from harness.report.forecast import Forecast

_WIDE = (
    *figures("workers", "MB", "start s", "load s", "exchange s", "compute s", "store s", "total s", "p10 to p90"),
    *figures("USD", "p10 to p90"),
)
_NARROW = tuple(figures("workers", "MB", "total s", "p10 to p90", "USD"))
_TEXTS = ("time is", "cost is", "collective", "note")


def print_forecasts(rows: Sequence[Forecast]) -> None:
    """Print a line for each forecast."""
    columns = [*_WIDE, *(TableColumn(name, folds=True) for name in _TEXTS)]
    cells = [_wide(row) for row in rows]
    if not fits(columns, cells):
        columns = [*_NARROW, *(TableColumn(name, folds=True) for name in _TEXTS if name != "cost is")]
        cells = [_narrow(row) for row in rows]
    print_table(columns, cells)


def _wide(row: Forecast) -> list[str]:
    parts = (row.start_s, row.load_s, row.exchange_s, row.compute_s, row.store_s)
    costs = f"{row.usd_p10:.6f} to {row.usd_p90:.6f}"
    return [
        str(row.workers),
        str(row.memory_mb),
        *(f"{seconds:.2f}" for seconds in parts),
        *_total(row),
        f"{row.usd:.6f}",
        costs,
        f"{row.dominates} {row.dominates_share:.0%}",
        f"{row.dominates_cost} {row.dominates_cost_share:.0%}",
        row.collective,
        row.note,
    ]


def _narrow(row: Forecast) -> list[str]:
    largest = f"{row.dominates} {row.dominates_share:.0%}"
    head = [str(row.workers), str(row.memory_mb)]
    return [*head, *_total(row), f"{row.usd:.6f}", largest, row.collective, row.note]


def _total(row: Forecast) -> tuple[str, str]:
    return f"{row.seconds:.2f}", f"{row.seconds_p10:.2f} to {row.seconds_p90:.2f}"
