"""The new lines of several functions' logs, in the order of their time."""

from datetime import datetime
from typing import TYPE_CHECKING

from harness.aws.errors import aws_errors
from harness.runs.functions import declared
from harness.runs.log_selection import RankSelection
from harness.runs.log_tail import LogLine, LogTail, PollingProfile, has_log
from harness.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_logs import CloudWatchLogsClient


class FunctionLogs:
    """The logs of several functions.

    Args:
        logs: A client.
        names: The functions; none for all that harness.toml declares.
        settings: The project's settings.
        since: When to begin.
        polling: How the log's service is polled.
        ranks: The ranks whose invocations count; none for all invocations.

    Raises:
        HarnessError: There is neither a declared function of a name nor a log of it.
    """

    def __init__(
        self,
        logs: "CloudWatchLogsClient",
        names: tuple[str, ...],
        settings: Settings,
        since: datetime,
        polling: PollingProfile,
        ranks: tuple[int, ...],
    ) -> None:

        since_ms = int(1000 * since.timestamp())
        self._tails = []
        for name in dict.fromkeys(names or settings.functions):
            with aws_errors(f"reading the log of {name}"):
                if name not in settings.functions and not has_log(logs, name):
                    declared(settings, name)  # there is neither the function nor a log of it
            tail = LogTail(logs, f"/aws/lambda/{name}", since_ms, polling)
            self._tails.append((name, tail, RankSelection(ranks) if ranks else None))
        self.width = max((len(name) for name, _, _ in self._tails), default=0)

    def lines(self) -> list[tuple[str, LogLine]]:
        """Return the new lines with their function, in the order of their time."""
        new: list[tuple[str, LogLine]] = []
        for name, tail, selection in self._tails:
            with aws_errors(f"reading the log of {name}"):
                lines: Iterable[LogLine] = list(tail.events())
            new += [(name, line) for line in (lines if selection is None else selection.select(lines))]
        return sorted(new, key=lambda one: one[1].timestamp)
