"""What is shown of a run whose summary nobody can read any more."""

import pytest

from harness.cli.show import show
from harness.errors import HarnessError
from harness.history.records import KeptRecord

RECORD = KeptRecord(run_id="a-run", status="succeeded", started_at=0.0)


@pytest.mark.parametrize("summary", [b"[1", b"\xff\xfe", b'{"run_id": "\xff"}'])
def test_a_damaged_summary_is_not_printed_as_json(summary):
    """A program that reads the output is told, instead of failing at it."""
    with pytest.raises(HarnessError, match="the summary of run a-run is damaged"):
        show(RECORD, summary, as_json=True)


def test_a_summary_of_another_version_is_there_as_json(capsys):
    """The short summary needs keys that it lacks; the JSON has those that it has."""
    show(RECORD, b'{"run_id":"a-run","loss":0.5}', as_json=True)
    assert '{"run_id":"a-run","loss":0.5}\n' == capsys.readouterr().out

    with pytest.raises(HarnessError, match=r"of another version: .*\n.*see it with --json"):
        show(RECORD, b'{"run_id":"a-run","loss":0.5}', as_json=False)
