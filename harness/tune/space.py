"""The search space of a study: the job's keys that vary from trial to trial, and the values that they may take.

    KEY=V,V,...            one of these values
    KEY=LOW..HIGH          any number between these two, both included; an integer where the key is one
    KEY=LOW..HIGH:log      the same, evenly spread over the logarithm
    KEY=LOW..HIGH:step=S   LOW, LOW + S, ... up to HIGH

A file has the same keys, in TOML or JSON: `lr = "0.001..1:log"`, `batch_size = [100, 1000]`, or
`momentum = {low = 0.0, high = 0.9, step = 0.1}`.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from harness.errors import HarnessError
from training.job import Job

Value = bool | int | float | str

_FORMS = "write KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:step=S or KEY=V,V"
# Keys that cannot be searched, by the reason.
_NOT_SEARCHED: Mapping[str, tuple[str, ...]] = {
    "the data would be partitioned anew for each value": ("n_workers", "seed", "dataset_type", "zero_based"),
    "trials would be measured on different rows": ("valid_ratio", "test_bucket", "test_prefix"),
    "it describes the data": ("data_bucket", "data_prefix", "dataset", "n_features", "n_classes"),
    "it names a place or a service, and no model depends on it": (
        *("host", "port", "tmp_bucket", "merged_bucket", "run_id", "result_bucket", "channel", "worker_function"),
        *("checkpoint_every_s", "round_timeout_s", "join_timeout_s"),
    ),
    "it decides when training ends, not what is learnt": ("loss_threshold", "stop_metric"),
    "trials would begin with different models": ("init_from",),
}


class Choices(msgspec.Struct, frozen=True, tag="choices"):
    """One of several values.

    Attributes:
        values: Two or more different values.
    """

    values: list[Value]


class Range(msgspec.Struct, frozen=True, tag="range"):
    """A number between two others.

    Attributes:
        low: The least value.
        high: The greatest value, above `low`.
        log: Whether values are spread evenly over the logarithm.
        step: The distance of neighbouring values; None for any number, or any integer, in between.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int)


Dimension = Choices | Range
Space = dict[str, Dimension]


def read_space(search: Sequence[str], file: Path | None) -> Space:
    """Return the space that a command line describes; empty if it describes none.

    Args:
        search: Texts such as `lr=0.001..1:log`.
        file: A TOML or JSON file; may be None.

    Raises:
        HarnessError: A text or the file is not understood, a key is unknown or cannot be searched, or is given twice.
    """
    space = _read_file(file) if file is not None else {}
    for text in search:
        key, equals, values = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise HarnessError(f"--search {text!r} has no `=`", remedy=_FORMS)
        if key in space:
            raise HarnessError(f"the search space has {key} twice", f"--search {text}", "give each key once")
        space[key] = parse_dimension(key, values, f"--search {text}")
    return space


def parse_dimension(key: str, values: object, where: str) -> Dimension:
    """Return one dimension of a space.

    Args:
        key: The job's key.
        values: What is written for it: a text, a list of values, or a table with low, high, log and step.
        where: What to name in errors.

    Raises:
        HarnessError: The key is unknown or cannot be searched, or the values are not understood.
    """
    kind = _kind_of(key, where)
    if isinstance(values, str):
        return _range_of_text(key, values, kind, where) if ".." in values else _choices_of_text(values, kind, where)
    if isinstance(values, list):
        return _choices(values, kind, where)
    if isinstance(values, dict):
        if set(values) - {"low", "high", "log", "step"} or not {"low", "high"} <= set(values):
            raise HarnessError(f"{key} has {', '.join(values)}", where, "a range has low, high, and log or step")
        return _range(key, values["low"], values["high"], values.get("log", False), values.get("step"), kind, where)
    raise HarnessError(f"{key} is {values!r}, which is no range and no list", where, _FORMS)


def format_dimension(dimension: Dimension) -> str:
    """Return a dimension as it is written after `KEY=`."""
    if isinstance(dimension, Choices):
        return ",".join(map(format_value, dimension.values))
    suffix = ":log" if dimension.log else f":step={dimension.step}" if dimension.step is not None else ""
    return f"{format_value(dimension.low)}..{format_value(dimension.high)}{suffix}"


def format_value(value: object) -> str:
    """Return a key's value as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def ends(dimension: Dimension) -> list[Value]:
    """Return the values of a dimension that a check has to see: every choice, or both ends of a range."""
    return list(dimension.values) if isinstance(dimension, Choices) else [dimension.low, dimension.high]


def points(dimension: Dimension) -> float:
    """Return how many values a dimension has; infinity for the real numbers of a range."""
    if isinstance(dimension, Choices):
        return len(dimension.values)
    if dimension.step is None and not dimension.is_integer:
        return math.inf
    return math.floor((dimension.high - dimension.low) / (dimension.step or 1) + 1e-9) + 1


def _read_file(path: Path) -> Space:
    try:
        content = path.read_bytes()
        table = json.loads(content) if path.suffix == ".json" else tomllib.loads(content.decode())
    except OSError as error:
        raise HarnessError(f"the search space cannot be read: {error.strerror}", str(path)) from error
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise HarnessError(
            f"the search space is no {kind}: {error}", str(path), "give one entry for each key"
        ) from error
    if not isinstance(table, dict) or not table:
        raise HarnessError("the search space has no keys", str(path), "give one entry for each key")
    return {
        name: parse_dimension(name, values, str(path))
        for name, values in ((key.replace("-", "_"), values) for key, values in table.items())
    }


def _kind_of(key: str, where: str) -> type[Value]:
    """Return the type of a key's values.

    Raises:
        HarnessError: There is no such key, or it cannot be searched.
    """
    known = _hints()
    for reason, keys in _NOT_SEARCHED.items():
        if key in keys and key in known:
            raise HarnessError(f"{key} cannot be searched: {reason}", where, "set it with its flag, for all trials")
    if key not in known:
        close = get_close_matches(key, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else "`harness run --help` lists the keys of a job"
        raise HarnessError(f"the job has no key {key!r}", where, remedy)
    return _base_type(known[key])


@cache
def _hints() -> dict[str, Any]:
    """Return the type hint of each key of the job."""
    hints = get_type_hints(Job, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(Job)}


def _base_type(hint: Any) -> type[Value]:  # noqa: ANN401 - a type hint has no narrower type
    if hint in (bool, int, float, str):
        kind: type[Value] = hint
        return kind
    if get_origin(hint) is Literal:
        return str
    # In Annotated[T, ...] and T | None, the first argument is the type.
    arguments = get_args(hint)
    return _base_type(arguments[0]) if arguments else str


def _choices_of_text(text: str, kind: type[Value], where: str) -> Choices:
    return _choices([part.strip() for part in text.split(",")], kind, where)


def _choices(values: Sequence[object], kind: type[Value], where: str) -> Choices:
    read = [_value(value, kind, where) for value in values]
    if len(read) < 2:
        raise HarnessError("a single value is not searched", where, "give two or more, or set it with its flag")
    if len(set(read)) < len(read):
        raise HarnessError("a value is there twice", where, "give each value once")
    return Choices(read)


def _range_of_text(key: str, text: str, kind: type[Value], where: str) -> Range:
    bounds, _, option = text.partition(":")
    low, _, high = bounds.partition("..")
    name, _, step = option.partition("=")
    if option not in ("", "log") and (name != "step" or not step):
        raise HarnessError(f"a range has no option {option!r}", where, "its options are `log` and `step=S`")
    return _range(key, low.strip(), high.strip(), option == "log", step or None, kind, where)


def _range(key: str, low: object, high: object, log: object, step: object, kind: type[Value], where: str) -> Range:
    if kind not in (int, float):
        raise HarnessError(f"{key} is no number, so it has no range", where, f"give its values: {key}=V,V")
    least, most = (_number(bound, kind, where) for bound in (low, high))
    distance = None if step is None else _number(step, kind, where)
    if not isinstance(log, bool):
        raise HarnessError(f"log is {log!r}", where, "give true or false")
    if least >= most:
        raise HarnessError(f"the range {low}..{high} is empty", where, "the first number is the lesser one")
    if log and least <= 0:
        raise HarnessError(f"{low} has no logarithm", where, "begin above 0, or leave `log` out")
    if log and distance is not None:
        raise HarnessError("a range has `log` or `step`, not both", where)
    if distance is not None and not 0 < distance <= most - least:
        raise HarnessError(f"step={step} does not fit into {low}..{high}", where, f"give one up to {most - least:g}")
    return Range(least, most, log, distance)


def _number(value: object, kind: type[Value], where: str) -> int | float:
    read = _value(value, kind, where)
    assert isinstance(read, int | float)  # noqa: S101 - for the type checker: the kind is a number's
    if not math.isfinite(read):
        raise HarnessError(f"{value} is not finite", where)
    return read


def _value(value: object, kind: type[Value], where: str) -> Value:
    """Return a value as its key's type: a text is converted, and an integer is a number too."""
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}[kind]
    if isinstance(value, str) and kind is not str:
        try:
            return {"true": True, "false": False}[value] if kind is bool else kind(value)
        except (KeyError, ValueError) as error:
            raise HarnessError(f"{value!r} is not {words}", where) from error
    is_bool = isinstance(value, bool)
    if kind is float and isinstance(value, int | float) and not is_bool:
        return float(value)
    if isinstance(value, kind) and is_bool == (kind is bool):
        return value
    raise HarnessError(f"{value!r} is not {words}", where)
