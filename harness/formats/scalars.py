"""What several formats say of a run in single values: the job's keys, and the figures at its end."""

import math

from harness.insight.view import RunView

# Damaged records may tell times that no format can hold: the last moment that does not overflow one.
LATEST_NS = 2**63 - 1


def flat_job(view: RunView) -> dict[str, str | float | bool]:
    """Return the job's keys whose values say something, nested ones as text."""
    flat: dict[str, str | float | bool] = {}
    for key, value in sorted(view.job.items()):
        if value in (None, "", [], {}):
            continue
        flat[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat


def final_metrics(view: RunView) -> dict[str, float]:
    """Return the figures at the end of a run: losses, metrics, seconds and the median round."""
    found = {"seconds": view.seconds, "rounds": float(view.rounds.done), "round_p50_ms": view.rounds.p50_ms}
    if view.epochs:
        last = view.epochs[-1]
        found["loss"] = last.loss
        found |= last.metrics
        found |= {f"validation_{name}": value for name, value in (last.validation or {}).items()}
    if view.summary is not None:
        found |= {f"test_{name}": value for name, value in _numbers(view.summary.get("test")).items()}
        found |= _numbers({"cost_usd": view.summary.get("cost_usd")})
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _numbers(record: object) -> dict[str, float]:
    """Return the numbers of a record of any shape, those of its `metrics` included."""
    if not isinstance(record, dict):
        return {}
    nested = _numbers(record.get("metrics"))
    return nested | {
        str(name): float(value)
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
