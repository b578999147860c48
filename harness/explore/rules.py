"""Rules for comparing two states: what stands for itself, what for any value of its kind, and what does not count.

Ids, dates and tokens differ from run to run, so each becomes a word in angle brackets: `<id>`, `<time>`.
A user's rules come first: they may ignore addresses and members, and normalise further texts.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

# A number that is this close to now counts as a time; idempotency records and caches expire within a year.
_CLOSE_S = 400 * 86_400
_DATE = r"\d{4}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]\d|2[0-3]):?[0-5]\d(?::?[0-5]\d(?:[.,]\d+)?)?"

# In this order: a longer pattern must not lose a part to a shorter one.
_PATTERNS = [
    # https://www.rfc-editor.org/rfc/rfc9562: any version with hyphens, version 4 also without
    (re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])"), "<id>"),
    (re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}(?![0-9a-f])"), "<id>"),
    # https://github.com/ulid/spec: its first digits are the time, so it begins with 01 until the year 2084
    (re.compile(r"(?<![0-9A-Z])01[0-9A-HJKMNP-TV-Z]{24}(?![0-9A-Z])"), "<id>"),
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
    (re.compile(r"(?<![0-9a-z-])([a-z]{1,16}-)(?:[0-9a-f]{17}|[0-9a-f]{8})(?![0-9a-z])"), r"\1<id>"),
    # https://www.rfc-editor.org/rfc/rfc3339 and ISO 8601's basic form, both with a time of day
    (re.compile(rf"(?<!\d){_DATE}[T _-]{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?(?!\d)"), "<time>"),
    # https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats
    (re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (?:GMT|UTC|[+-]\d{4})"), "<time>"),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    (re.compile(r"(?<![0-9A-Z])(?:AKIA|ASIA|AIDA|AROA|LHAK|LHAS)[0-9A-Z]{12,60}(?![0-9A-Z])"), "<token>"),
]
_NUMBER = re.compile(r"(?<!\w)(?<!\d\.)\d{10}(?:\d{3}(?:\d{3}(?:\d{3})?)?)?(?:\.\d+)?(?!\w|\.\d)")
# How many of a number's units are a second, by its digits before the point.
_UNITS = {10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}


@dataclass(frozen=True)
class Rules:
    """How states are compared.

    Attributes:
        ignore: Patterns of addresses, as `fnmatch` reads them; after a `#`, patterns of members: `dynamodb://t/*#at`.
        normalise: Regular expressions and what replaces them, in addresses and in texts.
        may_repeat: Patterns of addresses whose equal entries count once.
        now: The time that numbers are compared with, seconds since 1970.
    """

    ignore: tuple[str, ...] = ()
    normalise: tuple[tuple[re.Pattern[str], str], ...] = ()
    may_repeat: tuple[str, ...] = ()
    now: float = field(default_factory=time.time)

    def ignores(self, address: str, member: str = "") -> bool:
        """Return whether an address, or a member of its value such as `lines.0.at`, does not count."""
        for pattern in self.ignore:
            of_address, hash_, of_member = pattern.partition("#")
            if bool(hash_) == bool(member) and fnmatchcase(address, of_address) and fnmatchcase(member, of_member):
                return True
        return False

    def repeats(self, address: str) -> bool:
        """Return whether equal entries of an address count once."""
        return any(fnmatchcase(address, pattern) for pattern in self.may_repeat)

    def text(self, text: str) -> str:
        """Return a text with words for what differs from run to run."""
        for pattern, replacement in self.normalise:
            text = pattern.sub(replacement, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return _NUMBER.sub(lambda found: "<time>" if self._is_time(found[0]) else found[0], text)

    def value(self, address: str, value: Any, member: str = "") -> Any:  # noqa: ANN401 - any JSON
        """Return a value with words for what differs from run to run, without the members that do not count.

        Args:
            address: The address as the state has it.
            value: Any JSON.
            member: Where the value is within that of the address; empty for the whole.
        """
        inside = f"{member}." if member else ""
        if isinstance(value, dict):
            kept = _without(value.items(), lambda name: self.ignores(address, f"{inside}{name}"))
            return {self.text(name): self.value(address, one, f"{inside}{name}") for name, one in kept}
        if isinstance(value, list):
            kept = _without(enumerate(value), lambda number: self.ignores(address, f"{inside}{number}"))
            return [self.value(address, one, f"{inside}{number}") for number, one in kept]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = self.text(repr(value))
            return value if text == repr(value) else text
        return value

    def _is_time(self, number: str) -> bool:
        unit = _UNITS[len(number.partition(".")[0])]
        return abs(float(number) / unit - self.now) < _CLOSE_S


def _without(members: Iterable[tuple[Any, Any]], ignored: Callable[[Any], bool]) -> list[tuple[Any, Any]]:
    return [(name, one) for name, one in members if not ignored(name)]
