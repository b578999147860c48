"""The text form of a fault plan, on the command line or in a TOML file.

--fault "kill rank=2 round=17"          an action, optionally its target, then keys
--fault "delay s3 ms=200 n=5"
--chaos "seed=7 rate=0.01"

[[fault]]                               the same as a file
action = "kill"
rank = 2
round = 17

[chaos]
seed = 7
rate = 0.01
"""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.faults.plan import CATALOGUE, Chaos, Fault, Plan, make_fault


def parse_fault(text: str) -> Fault:
    """Return the fault that a command-line option describes.

    Raises:
        HarnessError: The text is invalid; the message names the word, key or value.
    """
    action, *words = text.split() or [""]
    values: dict[str, object] = {"action": action}
    for word in words:
        key, equals, value = word.partition("=")
        if key in values:
            raise HarnessError(f"{key} is given twice", f"in fault `{text}`", "give it once")
        if equals:
            values[key] = _value(value)
        elif any(word == target for _, target in CATALOGUE) and "target" not in values:
            values["target"] = word
        elif word == "lost":
            values["lost"] = True
        else:
            raise HarnessError(f"the word {word!r} is not understood", f"in fault `{text}`", "write key=value")
    return make_fault(values, text)


def parse_chaos(text: str) -> Chaos:
    """Return the chaos that text such as `seed=7 rate=0.01` describes.

    Raises:
        HarnessError: A key or a value is invalid.
    """
    values: dict[str, object] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals or key in values:
            raise HarnessError(
                f"{word!r} is not understood or given twice", f"in chaos `{text}`", "write seed=7 rate=0.01"
            )
        values[key] = _value(value)
    return _chaos(values, text)


def read_plan(path: Path | None, faults: tuple[str, ...] = (), chaos: str | None = None) -> Plan:
    """Return the plan that a file and the command line describe together.

    Args:
        path: A TOML file; None if there is none.
        faults: Additional faults.
        chaos: Overrides the chaos in the file.

    Raises:
        HarnessError: Part of the plan is invalid; the message names it.
    """
    plan = _read_file(path) if path else Plan()
    return Plan(
        (*plan.faults, *map(parse_fault, faults)),
        parse_chaos(chaos) if chaos is not None else plan.chaos,
    )


def _read_file(path: Path) -> Plan:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"the fault plan cannot be read: {error}", str(path), "give a TOML file") from error
    unknown = content.keys() - {"fault", "chaos"}
    if unknown:
        raise HarnessError(f"unknown table {min(unknown)!r}", str(path), "allowed: [[fault]] and [chaos]")
    tables = content.get("fault", [])
    if not isinstance(tables, list):
        raise HarnessError("`fault` is one table", str(path), "write [[fault]], with two brackets")
    faults = tuple(make_fault(table, _as_text(table)) for table in tables)
    return Plan(faults, _chaos(content["chaos"], str(path)) if "chaos" in content else None)


def _chaos(values: dict[str, object], where: str) -> Chaos:
    try:
        return msgspec.convert(values, Chaos)
    except msgspec.ValidationError as error:
        raise HarnessError(
            f"chaos: {error}", f"in `{where}`", "allowed: seed, a whole number, and rate, a number from 0 to 1"
        ) from error


def _as_text(table: dict[str, Any]) -> str:
    return " ".join(str(value) if key in {"action", "target"} else f"{key}={value}" for key, value in table.items())


def _value(text: str) -> object:
    """Return the text as a number if possible, otherwise unchanged."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
