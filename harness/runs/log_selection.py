"""The lines of a log that a user asks for: since a time, of a rank, with a pattern."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.runs.log_tail import LogLine

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_START = re.compile(r"START RequestId: \S+")


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time that `--since` means.

    Args:
        text: A time span such as `90s`, `15m`, `2h`, `1d` or `1w`, a number of minutes, or a time in ISO 8601; a time
            without a zone is in UTC, as printed by `harness logs`.
        now: The end of a time span.

    Raises:
        ValueError: It is none of these, or lies before the year 1970.
    """
    is_span = _SPAN.fullmatch(text) is not None
    since = (
        datetime.fromisoformat(text) if not is_span else datetime.fromtimestamp(now.timestamp() - parse_span(text), UTC)
    )
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    if since.timestamp() < 0:
        raise ValueError(text)
    return since


def parse_span(text: str) -> float:
    """Return the seconds of a time span such as `90s`, `15m`, `2h`, `1d` or `1w`; a number alone counts minutes.

    Raises:
        ValueError: It is none.
    """
    span = _SPAN.fullmatch(text)
    if span is None:
        raise ValueError(text)
    return float(span[1]) * _UNIT_S[span[2] or "m"]


@dataclass
class _Invocation:
    """The invocation that runs in an environment: its lines until its rank is known, and then whether it is chosen."""

    held: list[LogLine] = field(default_factory=list)
    chosen: bool | None = None


class RankSelection:
    """Selects the lines of the invocations that worked for certain ranks.

    A worker names its rank in its own lines, after START and perhaps some others, which are held back until then.

    Args:
        ranks: The ranks.

    Attributes:
        seen: All ranks that have named themselves.
    """

    def __init__(self, ranks: Collection[int]) -> None:
        self._ranks = ranks
        self.seen: set[int] = set()
        self._invocations: dict[str, _Invocation] = {}

    def select(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """Yield the lines of the ranks, in the order in which they become known."""
        for line in lines:
            if _START.match(line.message):
                self._invocations[line.stream] = _Invocation()
            invocation = self._invocations.get(line.stream)
            if invocation is None:
                continue  # its START is older than the log's beginning
            if invocation.chosen is None:
                invocation.held.append(line)
                rank = _rank_in(line.message)
                if rank is not None:
                    self.seen.add(rank)
                    invocation.chosen = rank in self._ranks
                    yield from invocation.held if invocation.chosen else ()
                    invocation.held = []
            elif invocation.chosen:
                yield line


def _rank_in(message: str) -> int | None:
    """Return the rank in a line of the training library, or of any function that logs JSON with that key."""
    if not message.startswith("{"):
        return None
    try:
        line: Any = json.loads(message)
    except ValueError:
        return None
    rank = line.get("rank")
    return rank if isinstance(rank, int) and not isinstance(rank, bool) else None
