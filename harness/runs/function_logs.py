"""The new lines of several functions' logs, in the order of their time."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from harness.aws.errors import aws_errors
from harness.errors import HarnessError
from harness.history.folder import RunRecords
from harness.history.records import LOG, LoggedLine
from harness.runs.declared import declared
from harness.runs.log_selection import RankSelection
from harness.runs.log_tail import GROUP_PREFIX, LogLine, LogTail, PollingProfile, has_log, log_group_of
from harness.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient


class FunctionLogs:
    """The logs of several functions.

    Args:
        logs: A client of the logs.
        functions: A client of Lambda, which knows the functions' log groups.
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
        functions: "LambdaClient",
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
                group = log_group_of(functions, name)
                if name not in settings.functions and not has_log(logs, group):
                    declared(settings, name)  # there is neither the function nor a log of it
            only = "" if group == GROUP_PREFIX + name else name
            tail = LogTail(logs, group, since_ms, polling, only)
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


def run_lines(
    folder: RunRecords, names: Collection[str], ranks: Collection[int], since: datetime | None
) -> Iterator[tuple[str, LogLine]]:
    """Yield the lines of a run's log with their function, in the order of their time.

    Args:
        folder: The run's folder, kept or where it took place.
        names: The functions whose lines count; none for all.
        ranks: The ranks whose invocations count; none for all, the coordinator's included.
        since: When to begin; None for the beginning.

    Raises:
        HarnessError: The run has no log, or no line of a function or a rank that is named.
    """
    body = folder.read(LOG)
    if body is None:
        raise HarnessError(f"run {folder.run_id} has no log", folder.location(LOG))
    since_ms = 0 if since is None else int(1000 * since.timestamp())
    lines = list(_decoded(body, folder))
    functions = {line.request_id: line.function for line in lines}
    if unknown := sorted(set(names) - set(functions.values())):
        has = f"its log has lines of {', '.join(sorted(set(functions.values())))}" if functions else "its log is empty"
        raise HarnessError(f"run {folder.run_id} has no line of function {unknown[0]}", "", has)
    # An invocation takes the part of a log stream: its START comes first, and its rank stands in one of its lines.
    logged = [LogLine(round(1000 * line.at), line.request_id, line.text) for line in lines]
    selection = RankSelection(ranks)
    for line in selection.select(logged) if ranks else logged:
        function = functions[line.stream]
        if line.timestamp >= since_ms and (not names or function in names):
            yield function, line
    if absent := sorted(set(ranks) - selection.seen):
        has = f"its log has lines of ranks {', '.join(map(str, sorted(selection.seen)))}"
        raise HarnessError(f"run {folder.run_id} has no line of rank {absent[0]}", "", has if selection.seen else "")


def _decoded(body: bytes, folder: RunRecords) -> Iterator[LoggedLine]:
    try:
        yield from msgspec.json.Decoder(LoggedLine).decode_lines(body)
    except msgspec.MsgspecError as error:
        raise HarnessError(f"the log of run {folder.run_id} is damaged: {error}", folder.location(LOG)) from error
