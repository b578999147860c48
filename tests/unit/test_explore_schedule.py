"""Schedules: their JSON, and what no schedule can be."""

import msgspec
import pytest

from harness.explore.schedule import Blow, Overlap, Schedule, Strike


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(),
        Schedule(strikes=(Strike(1, 1, 3, Blow.KILL_AFTER),)),
        Schedule(second="after"),
        Schedule(second="overlap", overlap=Overlap(hold=2, until=0)),
    ],
)
def test_a_schedule_survives_its_json(schedule: Schedule):
    """What a replay reads is what the exploration has written."""
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"strikes": [{"delivery": 1, "attempt": 1, "call": 0, "blow": "error"}]}', r"`int` >= 1.*strikes\[0\].call"),
        ('{"strikes": [{"delivery": 1, "attempt": 1, "call": 1, "blow": "hit"}]}', r"'hit'.*strikes\[0\].blow"),
        ('{"second": "overlap"}', '`overlap` belongs to second="overlap"'),
        ('{"second": "after", "overlap": {"hold": 1, "until": 0}}', '`overlap` belongs to second="overlap"'),
        ('{"secnd": "after"}', "secnd"),
    ],
)
def test_what_is_no_schedule_is_refused_by_name(text: str, says: str):
    """An edited file is not half understood."""
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.json.decode(text, type=Schedule)
