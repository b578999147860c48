"""What a calibration predicted of a later run, beside what the run took."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from harness.calibrate.figures import MeasuredFigure
from harness.calibrate.prediction import predict
from harness.calibrate.preset_file import preset_of, save_calibration
from harness.cli.calibrate import command
from harness.errors import HarnessError
from harness.history.folder import KeptFolder, history_root
from harness.presets.distribution import Constant
from harness.settings import load_settings

SAMPLES = Path(__file__).parents[1] / "fixtures_runs"
NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
WHERE = {"kind": "rehearsal", "stack": "mine", "region": "us-east-1"}


@pytest.fixture
def settings(tmp_path):
    """A project without runs and calibrations."""
    return load_settings(tmp_path)


@pytest.fixture
def keep(settings):
    """Keeps a sample run under another name, time and target."""

    def kept(run_id, *, at=NOON, target="rehearsal", sample="sample-slow-rank", **job):
        folder = history_root(settings) / run_id
        shutil.copytree(SAMPLES / sample, folder)
        for name in ("run.json", "summary.json"):
            record = msgspec.json.decode((folder / name).read_bytes()) | {"run_id": run_id}
            if name == "run.json":
                record |= {"started_at": at.timestamp(), "target": target}
            else:
                record["job"] |= job
            (folder / name).write_bytes(msgspec.json.encode(record))
        return KeptFolder(folder)

    return kept


@pytest.fixture
def calibrate(settings):
    """Stores a calibration of a time, in which the cache has this round trip."""

    def stored(at, trip_ms):
        figures = {"store_latency": MeasuredFigure(Constant(trip_ms), 100, "")}
        text = preset_of(figures, kind="rehearsal", stack="mine", region="us-east-1", at=at)
        return save_calibration(settings, text, kind="rehearsal", stack="mine", at=at)

    return stored


def test_only_what_was_known_before_is_in_the_prediction(settings, keep, calibrate):
    """The newest calibration before the run, and the newest older run of the same job; not what came later."""
    calibrate(NOON - timedelta(hours=2), 0.5)
    used = calibrate(NOON - timedelta(hours=1), 0.6)
    calibrate(NOON + timedelta(hours=1), 50.0)
    keep("oldest", at=NOON - timedelta(days=2), target="local")
    keep("older", at=NOON - timedelta(days=1), target="local", n_workers=8, host="elsewhere")
    keep("another-job", at=NOON - timedelta(hours=3), lr=0.7)
    keep("later", at=NOON + timedelta(days=1))

    found = predict(keep("the-run"), settings, **WHERE)

    assert used == found.calibration
    assert "older" == found.measured_in
    assert ["start", "load", "round", "total", "cost"] == [part.name for part in found.parts]


def test_a_slower_cache_is_a_longer_round_and_nothing_else(settings, keep, calibrate):
    """The parts are those of the forecast with the calibration's figures; the measured ones are the run's."""
    run = keep("the-run")
    calibrate(NOON - timedelta(hours=2), 0.5)
    quick = {part.name: part for part in predict(run, settings, **WHERE).parts}
    calibrate(NOON - timedelta(hours=1), 20.0)
    slow = {part.name: part for part in predict(run, settings, **WHERE).parts}

    assert quick["round"].p50 < slow["round"].p50
    assert quick["load"].p50 == pytest.approx(slow["load"].p50, rel=0.2)
    assert quick["total"].p10 <= quick["total"].p50 <= quick["total"].p90
    summary = msgspec.json.decode(run.read("summary.json"))
    assert summary["round_ms"]["p50"] == slow["round"].measured
    assert summary["cost_usd"] == slow["cost"].measured


def test_a_run_without_an_older_one_lends_its_own_processor_time(settings, keep, calibrate):
    """And the prediction says so."""
    calibrate(NOON - timedelta(hours=1), 0.5)

    assert "the-run" == predict(keep("the-run"), settings, **WHERE).measured_in


def test_a_run_before_every_calibration_has_no_prediction(settings, keep, calibrate):
    """A calibration that came later would have seen what it predicts."""
    calibrate(NOON + timedelta(hours=1), 0.5)

    with pytest.raises(HarnessError, match="no calibration of mine on rehearsal is older than run the-run"):
        predict(keep("the-run"), settings, **WHERE)


def test_a_run_elsewhere_or_without_success_is_refused(settings, keep, calibrate):
    """By its name, with where it was."""
    calibrate(NOON - timedelta(hours=1), 0.5)
    failed = keep("failed")
    (failed.path / "summary.json").unlink()

    with pytest.raises(HarnessError, match=r"run here was not on rehearsal\n.*local"):
        predict(keep("here", target="local"), settings, **WHERE)
    with pytest.raises(HarnessError, match="run failed has not succeeded"):
        predict(failed, settings, **WHERE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "last", "--n-starts", "10"], "--against measures nothing: leave out --n-starts"),
        (["--against", "last", "--limits"], "--against measures nothing: leave out --limits"),
        (["--against", "last", "--save", "mine.toml"], "--against measures nothing: leave out --save"),
        (["--against", "last", "--clean-up"], "--against measures nothing: leave out --clean-up"),
        (["--clean-up", "--limits"], "--clean-up measures nothing: leave out --limits"),
        (["--clean-up", "--json"], "--clean-up measures nothing: leave out --json"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(arguments, words):
    """Whoever asks for a measurement beside what measures nothing is told."""
    answer = CliRunner().invoke(command, ["--target", "rehearsal", *arguments])

    assert 2 == answer.exit_code
    assert words in answer.output


def test_the_command_prints_a_prediction(settings, keep, calibrate, monkeypatch):
    """As a table with the run's name, and as JSON; neither the account nor the emulation is asked."""
    path = calibrate(NOON - timedelta(hours=1), 0.5)
    keep("the-run")
    monkeypatch.chdir(settings.root)
    arguments = ["--target", "rehearsal", "--stack", "mine", "--against", "last"]

    table = CliRunner().invoke(command, arguments, catch_exceptions=False).output
    told = msgspec.json.decode(CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False).output)

    assert "no older run of the same job is kept" in table
    assert str(path) == told["calibration"]
    assert "the-run" == told["run_id"]
    assert ["start", "load", "round", "total", "cost"] == [part["name"] for part in told["parts"]]
