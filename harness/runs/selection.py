"""What differs among runs, and which of them a user wants to see, in which order."""

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.runs.catalogue import RunEntry

# Keys of a job that follow from where it runs, from its data, or from its own name.
_OF_THE_PLACE = frozenset(
    {
        "run_id",
        "host",
        "port",
        "result_bucket",
        "data_bucket",
        "data_prefix",
        "test_bucket",
        "test_prefix",
        "tmp_bucket",
        "merged_bucket",
        "worker_function",
        "init_from",
        "n_features",
        "n_classes",
    }
)
# They have columns of their own.
_SHOWN_ANYWAY = frozenset({"dataset", "n_workers"})
_OWN_KEYS = ("run_id", "status", "dataset", "n_workers", "loss", "bucket", "model", "started_at", "seconds", "target")
_OTHER_WORDS = {"run": "run_id", "workers": "n_workers", "started": "started_at", "time": "seconds"}
_CONDITION = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a run must satisfy to be listed.

    Attributes:
        key: A key of its job, or a figure of it.
        sign: How its value is compared.
        value: With what.
    """

    key: str
    sign: str
    value: str


def parse_condition(text: str) -> Condition:
    """Return the condition that `--where` means, such as `lr=0.1` or `loss<0.5`.

    Raises:
        ValueError: It is none.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return Condition(_key(found[1]), found[2], found[3])


def with_differences(entries: Sequence[RunEntry]) -> list[RunEntry]:
    """Return the runs, each with the keys of its job whose values are not the same in all of them."""
    differing = differing_keys([entry.job for entry in entries])
    return [
        msgspec.structs.replace(entry, differs={key: entry.job[key] for key in differing if key in entry.job})
        for entry in entries
    ]


def differing_keys(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same in all jobs that have them, other than where a run took place."""
    keys = dict.fromkeys(key for job in jobs for key in job)
    return [key for key in keys if key not in _OF_THE_PLACE | _SHOWN_ANYWAY and _differs(key, jobs)]


def select(
    entries: Sequence[RunEntry], conditions: Sequence[Condition], sort: str | None, limit: int | None
) -> list[RunEntry]:
    """Return the runs that satisfy all conditions, in order.

    Args:
        entries: The runs, the oldest first.
        conditions: The conditions.
        sort: The key to sort by, the smallest value first; with a leading `-`, the largest. Runs without it come last.
        limit: How many runs: the first ones of a sorted list, the newest ones of another.

    Raises:
        HarnessError: No run has a key of this name, and the message names near ones; or numbers are compared with text.
    """
    for key in [condition.key for condition in conditions] + ([] if sort is None else [_key(sort.removeprefix("-"))]):
        _check_key(key, entries)
    for condition in conditions:
        _check_value(condition, entries)
    found = [entry for entry in entries if all(_satisfies(entry, condition) for condition in conditions)]
    if sort is None:
        return with_differences(found[-limit:] if limit else found)
    key = _key(sort.removeprefix("-"))
    known = [entry for entry in found if value_of(entry, key) is not None]
    known.sort(key=lambda entry: _order(value_of(entry, key)), reverse=sort.startswith("-"))
    found = known + [entry for entry in found if value_of(entry, key) is None]
    return with_differences(found[:limit] if limit else found)


def value_of(entry: RunEntry, key: str) -> Any:  # noqa: ANN401 - a value of JSON
    """Return a run's value of a key: its own, that of its job, or a figure of it; None if it has none."""
    if key in _OWN_KEYS:
        return getattr(entry, key)
    return entry.job.get(key, entry.figures.get(key))


def format_value(value: object) -> str:
    """Return a value of a job as a user writes it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _key(name: str) -> str:
    name = name.replace("-", "_")
    return _OTHER_WORDS.get(name, name)


def _check_key(key: str, entries: Sequence[RunEntry]) -> None:
    known = {*_OWN_KEYS, *(name for entry in entries for name in (*entry.job, *entry.figures))}
    if key in known or not entries:
        return
    near = get_close_matches(key, sorted(known), n=3)
    remedy = f"did you mean {' or '.join(near)}?" if near else "`harness runs --json` shows all keys"
    raise HarnessError(f"no run has a key {key or repr(key)}", "", remedy)


def _check_value(condition: Condition, entries: Sequence[RunEntry]) -> None:
    """Check that an order is asked of numbers, or of text, but not of both."""
    values = [value_of(entry, condition.key) for entry in entries]
    has_numbers = any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if condition.sign in {"=", "!="} or not has_numbers:
        return
    try:
        float(condition.value)
    except ValueError as error:
        asked = f"{condition.key}{condition.sign}{condition.value}"
        raise HarnessError(f"--where {asked}: {condition.key} is a number", "", "compare it with a number") from error


def _differs(key: str, jobs: Sequence[Mapping[str, Any]]) -> bool:
    values = [job[key] for job in jobs if key in job]
    return any(value != values[0] for value in values)


def _satisfies(entry: RunEntry, condition: Condition) -> bool:
    value, wanted = value_of(entry, condition.key), condition.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _COMPARE[condition.sign](value, float(wanted))
        except ValueError:
            return condition.sign == "!="
    if value is None and condition.sign not in {"=", "!="}:
        return False
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return _COMPARE[condition.sign](text, wanted)


def _order(value: object) -> tuple[int, float, str]:
    """Return what sorts values of any type: numbers by size, all others as text behind them."""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, value if isinstance(value, str) else json.dumps(value)
