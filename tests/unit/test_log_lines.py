"""What a run reads in the platform's lines of its workers' log."""

import json

import pytest

from harness.runs.log_lines import read_log
from harness.runs.progress import new_progress

REQUEST = "11111111-2222-3333-4444-555555555555"
REPORT = (
    f"REPORT RequestId: {REQUEST}\tDuration: 3000.00 ms\tBilled Duration: 3403 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 73 MB\tInit Duration: 402.04 ms\t"
)


class Tail:
    """A log with these messages."""

    def __init__(self, *messages):
        self._messages = messages

    def lines(self):
        """Yield the messages with a time."""
        for message in self._messages:
            yield 0, message


@pytest.mark.parametrize(
    ("messages", "causes"),
    [
        ([REPORT], []),
        ([REPORT + "Status: timeout"], ["Task timed out after 3.00 seconds"]),
        ([REPORT + "Status: error\tError Type: Runtime.ExitError"], ["Runtime.ExitError"]),
        # As Lambda wrote them before 2024.
        ([f"RequestId: {REQUEST} Error: Runtime exited\nRuntime.ExitError", REPORT], ["Runtime exited"]),
        ([f"RequestId: {REQUEST} Error: ", REPORT], ["an error without a text"]),
        ([f"2024-03-04T17:22:38.033Z {REQUEST} Task timed out after 3.00 s", REPORT], ["Task timed out after 3.00 s"]),
    ],
)
def test_an_invocation_that_the_platform_ended_is_a_death(messages, causes):
    """Its cause is in REPORT, and its figures count in any case."""
    progress = new_progress([REQUEST], ())

    assert read_log(Tail(*messages), progress, "a-run")

    assert causes == [event["cause"] for event in progress.events if event["event"] == "died"]
    assert [3403] == [report.billed_ms for report in progress.reports]


def test_a_progress_line_tells_compute_waits_memory_and_bytes():
    """The waits are those since the line before; the bytes add up."""
    progress = new_progress([REQUEST], ())
    line = {
        "event": "progress",
        "run_id": "a-run",
        "rank": 0,
        "request_id": REQUEST,
        "round": 7,
        "rounds": 9,
        "loss": 0.5,
        "rows_per_s": 10.0,
        "compute_s": 0.1,
        "wait_s": 0.4,
        "waited_for": 2,
        "rss_mb": 65.5,
        "sent_bytes": 100,
        "received_bytes": 200,
    }

    read_log(Tail(json.dumps(line), json.dumps(line | {"wait_s": 0.0, "waited_for": -1})), progress, "a-run")

    rank = progress.ranks[0]
    assert (rank.compute_s, rank.wait_s, rank.waited_for, rank.rss_mb) == (0.1, 0.0, -1, 65.5)
    assert (rank.sent_bytes, rank.received_bytes) == (200, 400)
