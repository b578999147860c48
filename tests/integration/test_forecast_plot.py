"""Pictures of forecasts; matplotlib asks the system for its fonts once, by a process."""

import pytest

from harness.errors import HarnessError
from harness.report.plot import draw_forecast
from tests.support.forecasts import forecasts


def test_a_picture_is_written_in_each_format(tmp_path):
    """The SVG has axes with units, every memory size and every number of workers; it is the same each time."""
    rows = forecasts((2, 8), (885, 1769))
    for name in ("one.svg", "two.svg", "one.png"):
        draw_forecast(rows, tmp_path / name, "a-run on aws-2026")

    text = (tmp_path / "one.svg").read_text()
    assert all(word in text for word in ("a-run", "time of the run, s", "USD", "885 MB", "1,769 MB", "8 workers"))
    assert text == (tmp_path / "two.svg").read_text()
    assert b"\x89PNG" == (tmp_path / "one.png").read_bytes()[:4]


def test_labels_do_not_cover_one_another(tmp_path):
    """Of many settings in one place, some go without a label rather than on top of another."""
    draw_forecast(forecasts((2, 3, 4, 5, 6, 7, 8)), tmp_path / "many.svg", "a-run")

    assert "workers" in (tmp_path / "many.svg").read_text()


def test_a_picture_of_no_format_is_refused(tmp_path):
    """So is a folder that does not exist."""
    with pytest.raises(HarnessError, match="no format of a picture"):
        draw_forecast(forecasts((2,)), tmp_path / "one.jpeg", "a-run")
    with pytest.raises(HarnessError, match="cannot be written"):
        draw_forecast(forecasts((2,)), tmp_path / "nowhere" / "one.svg", "a-run")
