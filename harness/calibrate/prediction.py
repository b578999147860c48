"""What a calibration predicted of a run that came after it, beside what the run took.

The prediction uses nothing that was learnt later: the newest calibration that is older than the run, and the newest
older run of the same job, of which it takes rows, bytes and processor time. Without such a run it takes these from the
run itself, and says so: then only starts, storage and exchange are predicted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.calibrate.preset_file import newest_calibration
from harness.errors import HarnessError
from harness.history.folder import KeptFolder, history_root, kept_runs
from harness.history.records import SUMMARY
from harness.presets.preset import load_preset
from harness.presets.prices import DEFAULT_REGION, load_prices, priced_regions
from harness.report.assumptions import Assumptions
from harness.report.forecast import sample_run
from harness.report.measured import measured_run
from harness.report.rates import rates_of
from harness.report.samples import band
from harness.runs.places import bytes_of
from harness.runs.summary import Summary
from harness.runs.worker import worker_table
from harness.settings import Settings

# What may differ between two runs of the same job: where it runs, and under which names.
_OF_THE_PLACE = {
    "run_id",
    "host",
    "port",
    "data_bucket",
    "data_prefix",
    "test_bucket",
    "test_prefix",
    "result_bucket",
    "worker_function",
    "zero_based",
    "n_workers",
}


@dataclass(frozen=True)
class PredictedPart:
    """A part of a run.

    Attributes:
        name: `start`, `load`, `total` (seconds), `round` (ms, the median), or `cost` (USD, of the functions).
        p50: The predicted median.
        measured: What the run took.
        p10: A tenth of the samples is below; None where only the median is known.
        p90: A tenth of the samples is above.
    """

    name: str
    p50: float
    measured: float
    p10: float | None = None
    p90: float | None = None

    @property
    def off(self) -> float:
        """By which share of the measured value the prediction is above it."""
        return self.p50 / self.measured - 1 if self.measured else 0.0


@dataclass(frozen=True)
class PredictedRun:
    """A prediction beside the run that it is of.

    Attributes:
        run_id: The run.
        calibration: The preset that was used.
        measured_in: The run whose rows, bytes and processor time were used.
        parts: What was predicted and measured.
    """

    run_id: str
    calibration: Path
    measured_in: str
    parts: tuple[PredictedPart, ...]


def predict(run: KeptFolder, settings: Settings, *, kind: str, stack: str, region: str) -> PredictedRun:
    """Return what was to be expected of a run before it began, beside what it took.

    Args:
        run: A run on the deployment that has succeeded and is kept.
        settings: The project's settings.
        kind: `aws` or `rehearsal`.
        stack: The deployment.
        region: Its region.

    Raises:
        HarnessError: The run was not on this target, has not succeeded, or is older than every calibration of it.
    """
    record, summary = run.record(), _summary(run)
    if record is None or record.target != kind:
        where = f"it was on {record.target}" if record is not None else "its record is damaged"
        raise HarnessError(f"run {run.run_id} was not on {kind}", where, "name a run of this target")
    began = datetime.fromtimestamp(record.started_at, UTC)
    calibration = newest_calibration(settings, kind, stack, before=began)
    if calibration is None:
        raise HarnessError(
            f"no calibration of {stack} on {kind} is older than run {run.run_id}",
            f"the run began at {began:%Y-%m-%d %H:%M:%S} UTC",
            f"run `harness calibrate --target {kind}`, then the job again: a prediction comes first",
        )
    earlier = _earlier(run, record.started_at, summary.job, settings)
    measured, job = measured_run(earlier or run, bytes_of(earlier or run))
    earlier_record = (earlier or run).record()
    # `cpu_factor` is relative to this machine: a run on the deployment has its processor already.
    local = earlier_record is not None and earlier_record.target == "local"
    prices = load_prices(region if region in priced_regions() else DEFAULT_REGION)
    preset = load_preset(str(calibration), () if local else ("cpu_factor=1",))
    sampled = sample_run(
        # The deployment's functions are from images, whatever the earlier run's were.
        replace(measured, image=True),
        int(summary.job["n_workers"]),
        worker_table(settings, job).memory_mb,
        Assumptions(preset, rates_of(prices)),
    )
    told, seconds = sampled.forecast, band(sampled.seconds)
    took = summary.seconds
    parts = (
        PredictedPart("start", told.start_s, took.start),
        PredictedPart("load", told.load_s, took.load),
        # Not the time of training: the ranks that started first spend it waiting for the last one.
        PredictedPart("round", told.round_ms, summary.round_ms["p50"]),
        PredictedPart("total", seconds.p50, took.total, seconds.p10, seconds.p90),
        PredictedPart("cost", told.lambda_usd, summary.cost_usd),
    )
    return PredictedRun(run.run_id, calibration, (earlier or run).run_id, parts)


def _summary(run: KeptFolder) -> Summary:
    body = run.read(SUMMARY)
    if body is None:
        raise HarnessError(f"run {run.run_id} has not succeeded", run.location(""), "name one that has")
    try:
        return msgspec.json.decode(body, type=Summary)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HarnessError(f"the summary of run {run.run_id} is of another version: {error}") from error


def _earlier(run: KeptFolder, before: float, job: Mapping[str, Any], settings: Settings) -> KeptFolder | None:
    """Return the newest older run of the same job; on any target and with any number of workers."""
    for folder in reversed(kept_runs(history_root(settings))):
        record, body = folder.record(), folder.read(SUMMARY)
        if folder.run_id == run.run_id or record is None or record.started_at >= before or body is None:
            continue
        try:
            found = msgspec.json.decode(body, type=Summary)
        except (msgspec.MsgspecError, ValueError):
            continue
        if _essence(found.job) == _essence(job):
            return folder
    return None


def _essence(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key not in _OF_THE_PLACE}
