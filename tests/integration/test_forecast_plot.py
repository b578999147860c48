"""Pictures of forecasts; matplotlib asks the system for its fonts once, by a process."""

import pytest

from harness.errors import HarnessError
from harness.report.assumptions import default_assumptions
from harness.report.forecast import sample_run
from harness.report.measurements import Measured
from harness.report.plot import draw_forecast

RUN = Measured(
    run_id="a-run",
    sync_mode="reduce",
    workers=4,
    rows=90_000,
    data_bytes=1_000_000,
    part_bytes=120,
    rounds=100,
    other_all_reduces=0,
    round_rows=4000,
    compute_s=1.0,
    evaluation_s=0.0,
    decode_s=0.1,
    max_rss_mb=80.0,
)
ASSUMED = default_assumptions()


def lines(workers, memory_mb=(1769,)):
    """Forecasts."""
    return [sample_run(RUN, count, size, ASSUMED).forecast for count in workers for size in memory_mb]


def test_a_picture_is_written_in_each_format(tmp_path):
    """The SVG has axes with units, every memory size and every number of workers; it is the same each time."""
    rows = lines((2, 8), (885, 1769))
    for name in ("one.svg", "two.svg", "one.png"):
        draw_forecast(rows, tmp_path / name, "a-run on aws-2026")

    text = (tmp_path / "one.svg").read_text()
    assert all(word in text for word in ("a-run", "time of the run, s", "USD", "885 MB", "1,769 MB", "8 workers"))
    assert text == (tmp_path / "two.svg").read_text()
    assert b"\x89PNG" == (tmp_path / "one.png").read_bytes()[:4]


def test_labels_do_not_cover_one_another(tmp_path):
    """Of many settings in one place, some go without a label rather than on top of another."""
    draw_forecast(lines((2, 3, 4, 5, 6, 7, 8)), tmp_path / "many.svg", "a-run")

    assert "workers" in (tmp_path / "many.svg").read_text()


def test_a_picture_of_no_format_is_refused(tmp_path):
    """So is a folder that does not exist."""
    with pytest.raises(HarnessError, match="no format of a picture"):
        draw_forecast(lines((2,)), tmp_path / "one.jpeg", "a-run")
    with pytest.raises(HarnessError, match="cannot be written"):
        draw_forecast(lines((2,)), tmp_path / "nowhere" / "one.svg", "a-run")
