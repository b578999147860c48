"""The file of `--prepare`: what the function needs, what must hold in the end, and what does not count.

    def prepare(client):                     # before every case
        client("s3").create_bucket(Bucket="inbox")

    def event(client, event):                # after it; returns the event, with what only the stage knows
        return {**event, "table": ...}

    def invariant(client):                   # after every case; raises, or returns what is wrong
        assert ...

    ignore = ["s3://inbox/logs/*", "dynamodb://orders/*#updated_at"]
    normalise = [("job-[0-9]+", "<job>")]
    may_repeat = ["sqs://orders"]
    outside = ["api.example.com:443"]
    retry_after_s = 3.5                      # for leases that must expire; on AWS, Lambda retries after a minute

Every part may be missing. `client("s3")` returns a boto3 client of the stage.
"""

import importlib.util
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import HarnessError
from harness.explore.rules import Rules
from harness.gateway.limits import RETRY_DELAYS_S

ClientOf = Callable[[str], Any]
NAMES = ("prepare", "event", "invariant", "ignore", "normalise", "may_repeat", "outside", "retry_after_s")
# AWS's own delay before the first retry.
_LONGEST_RETRY_S = RETRY_DELAYS_S[0]


@dataclass(frozen=True)
class Preparation:
    """What an exploration is told about a function.

    Attributes:
        prepare: Makes what the function needs; None if it needs nothing.
        event: Returns the event to deliver, from the clients and the given one; None if that is delivered.
        invariant: Raises `AssertionError`, or returns a text, if the final state is wrong; None without one.
        rules: How states are compared.
        outside: Patterns of addresses, `host:port`, which functions may connect to although no effect is seen there.
        retry_after_s: Seconds until Lambda's first retry, and twice as many until the second.
    """

    prepare: Callable[[ClientOf], object] | None = None
    event: Callable[[ClientOf, object], object] | None = None
    invariant: Callable[[ClientOf], object] | None = None
    rules: Rules = field(default_factory=Rules)
    outside: tuple[str, ...] = ()
    retry_after_s: float = 0.0

    def allows(self, address: str) -> bool:
        """Return whether functions may connect to an address past the proxy."""
        return any(fnmatchcase(address, pattern) for pattern in self.outside)

    def event_of(self, client: ClientOf, event: object) -> object:
        """Return the event to deliver.

        Args:
            client: Returns a boto3 client of the stage.
            event: The event that the user has given.

        Raises:
            HarnessError: The user's `event` fails, or returns what is no JSON.
        """
        if self.event is None:
            return event
        try:
            made = self.event(client, event)
            json.dumps(made, allow_nan=False)
        except (Exception, SystemExit) as error:
            raise HarnessError(
                f"`event(client, event)` fails: {type(error).__name__}: {error}",
                remedy="let it return the event as JSON",
            ) from error
        return made

    def violation(self, client: ClientOf) -> str:
        """Return how the final state violates the invariant; empty if it does not.

        Args:
            client: Returns a boto3 client of the stage.
        """
        if self.invariant is None:
            return ""
        try:
            told = self.invariant(client)
        except AssertionError as error:
            return str(error) or _failed_line(error) or "the invariant does not hold"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code; what it fails at is the finding
            return f"{type(error).__name__}: {error}"
        if isinstance(told, str):
            return told
        # `return problems` of a list, and `return total == 3`, say what is wrong as well as a text does.
        holds = told is None or told is True or told in ([], ())
        return "" if holds else f"it returned {told!r:.500}"


def preparation_of(origin: str, given: Mapping[str, Any]) -> Preparation:
    """Return a checked preparation.

    Args:
        origin: Where the values come from, for messages: a file, or `explore()`.
        given: The values, by the names of `NAMES`; those that are missing have their defaults.

    Raises:
        HarnessError: A value is not what it should be; it is named.
    """
    patterns = {name: _patterns(name, given.get(name, ()), origin) for name in ("ignore", "may_repeat", "outside")}
    replaced = _listed("normalise", given.get("normalise", ()), origin)
    return Preparation(
        prepare=_function("prepare", given, origin),
        event=_function("event", given, origin),
        invariant=_function("invariant", given, origin),
        rules=Rules(
            ignore=patterns["ignore"],
            normalise=tuple(_replacement(one, origin) for one in replaced),
            may_repeat=patterns["may_repeat"],
        ),
        outside=patterns["outside"],
        retry_after_s=_delay(given.get("retry_after_s", 0), origin),
    )


def _function(name: str, given: Mapping[str, Any], origin: str) -> Callable[..., object] | None:
    function = given.get(name)
    if function is None:
        return None
    arguments = "client, event" if name == "event" else "client"
    kind = _unfinished(function)
    if callable(function) and not kind:
        called: Callable[..., object] = function
        return called
    what = f"{name} is {kind}" if kind else f"{name} is {function!r:.80}, no function"
    raise HarnessError(what, origin, f"write `def {name}({arguments}):`, or leave it out")


def _unfinished(function: object) -> str:
    """Return what kind of function a call only begins, and never ends; empty for any other."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "a coroutine function, which would never run"
    if inspect.isgeneratorfunction(function):
        return "a generator function, which would never run"
    return ""


def load_preparation(path: Path) -> Preparation:
    """Return what a file of `--prepare` says.

    Raises:
        HarnessError: The file cannot be read or run, says nothing, or says something wrong.
    """
    module = _import(path)
    given = {name: getattr(module, name) for name in NAMES if hasattr(module, name)}
    if not given:
        raise HarnessError(
            f"--prepare {path} defines none of {', '.join(NAMES)}",
            remedy="write `def prepare(client):`, which makes what the function needs",
        )
    return preparation_of(str(path), given)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"prepare_{path.stem}", path)
    if path.suffix != ".py" or not path.is_file() or spec is None or spec.loader is None:
        raise HarnessError(f"--prepare {path} is no Python file", remedy="give a file with `def prepare(client):`")
    module = importlib.util.module_from_spec(spec)
    # It may import what lies beside it.
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise HarnessError(
            f"--prepare {path} fails: {type(error).__name__}: {error}", _place(error, path), "correct the file"
        ) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _place(error: BaseException, path: Path) -> str:
    """Return the line of a file at which an error arose."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _failed_line(error: AssertionError) -> str:
    """Return the source of an assertion without a message."""
    frames = traceback.extract_tb(error.__traceback__)
    return frames[-1].line or "" if frames else ""


def _listed(name: str, value: object, origin: str) -> list[Any]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise HarnessError(f"{name} is {value!r:.80}", origin, f"make it a list, such as {name} = [...]")
    return list(value)


def _patterns(name: str, value: object, origin: str) -> tuple[str, ...]:
    patterns = _listed(name, value, origin)
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            example = "api.example.com:443" if name == "outside" else "s3://bucket/*"
            raise HarnessError(f"{name} has {pattern!r:.80}", origin, f"write patterns as texts: {example!r}")
    return tuple(patterns)


def _delay(value: object, origin: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_RETRY_S:
        raise HarnessError(
            f"retry_after_s is {value!r:.80}",
            origin,
            f"make it 0 to {_LONGEST_RETRY_S:g} seconds: longer than what must expire before a retry can succeed",
        )
    return float(value)


def _replacement(value: object, origin: str) -> tuple[re.Pattern[str], str]:
    match value:
        case (str() as pattern, str() as replacement):
            try:
                found = re.compile(pattern)
                found.sub(replacement, "")
            except (re.error, IndexError) as error:
                raise HarnessError(f"normalise has {pattern!r:.80}: {error}", origin, "correct it") from error
            return found, replacement
    raise HarnessError(
        f"normalise has {value!r:.80}", origin, r'write pairs of a regular expression and a text: (r"job-\d+", "<job>")'
    )
