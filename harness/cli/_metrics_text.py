"""The metrics of a finished run as text: one line for each set of rows, and a confusion matrix of few classes."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.cli._terminal import printable

# A wider matrix is in `--json` only.
MOST_SHOWN_CLASSES = 10
_SHOWN = ("loss", "accuracy", "auc", "precision", "recall", "f1", "log_loss", "rmse", "r2")


def metrics_text(sets: dict[str, dict[str, Any] | None], classes: Sequence[Any] | None) -> Iterator[str | Table]:
    """Yield the metrics of sets of rows, by name: a line for each, and its confusion matrix if classes are few."""
    for name, measured in sets.items():
        if measured is None or "rows" not in measured:
            continue
        figures = [f"{metric} {_figure(metric, measured)}" for metric in _SHOWN if _has(metric, measured)]
        yield f"{name:<7} {measured['rows']} rows: {', '.join(figures)}"
        matrix = measured.get("confusion")
        if matrix and classes and len(classes) <= MOST_SHOWN_CLASSES:
            yield _confusion_table(name, matrix, [printable(str(label)) for label in classes])


def _has(metric: str, measured: dict[str, Any]) -> bool:
    # A regression has no accuracy, and a null for it.
    return metric in measured and (metric != "accuracy" or measured[metric] is not None)


def _confusion_table(name: str, matrix: list[list[int]], labels: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{name}: true class")
    for label in labels:
        table.add_column(Text(f"as {label}"), justify="right")
    for label, row in zip(labels, matrix, strict=True):
        table.add_row(Text(label), *map(str, row))
    return table


def _figure(metric: str, measured: dict[str, Any]) -> str:
    value = measured[metric]
    if value is None:
        return "undefined"
    error = measured.get("auc_error") if metric == "auc" else None
    return f"{value:.4f}" + (f" (within {error:.1g})" if error else "")
