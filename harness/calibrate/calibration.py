"""A calibration from the checks to the preset."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.calibrate.busy import check_idle, check_room
from harness.calibrate.figures import Calibrated, figures_of
from harness.calibrate.measuring import measure
from harness.calibrate.place import deployed_place
from harness.calibrate.plan import CalibrationPlan, expected_usd
from harness.calibrate.preset_file import preset_of, save_calibration
from harness.calibrate.probe_function import ProbeFunction, clean_up, probe_function
from harness.deploy.run_target import deployed_run_target
from harness.deploy.stack import Log
from harness.deploy.target import Target
from harness.errors import HarnessError
from harness.presets.preset import Preset, load_preset
from harness.presets.prices import DEFAULT_REGION, Prices, load_prices, priced_regions
from harness.settings import Settings

# The beginning of the names of all calibrations, and of their objects.
PREFIX = "calibrate-"


@dataclass(frozen=True)
class CalibrationOutcome:
    """What became of a calibration.

    Attributes:
        kind: `aws` or `rehearsal`.
        calibrated: Its figures.
        base: The preset that they are compared with, and on which the new one is based.
        path: The new preset.
        usd: What it cost on AWS, as far as it was counted: the functions' time; what the same costs there, if this was
            a rehearsal.
        expected_usd: What was expected.
    """

    kind: str
    calibrated: Calibrated
    base: Preset
    path: Path
    usd: float
    expected_usd: float


def calibrate(
    target: Target, stack: str, settings: Settings, plan: CalibrationPlan, *, log: Log, agree: Callable[[float], bool]
) -> CalibrationOutcome | None:
    """Measure a deployment, and store its preset.

    Args:
        target: The account and region, or the rehearsal.
        stack: The deployment's name.
        settings: The project's settings.
        plan: What is measured.
        log: Called with the progress.
        agree: Called with the expected cost, USD, before anything is made; if it returns False, nothing is.

    Returns:
        What became of it; None if the user did not agree.

    Raises:
        HarnessError: There is no deployment, it is in use, or it refuses something; nothing is left of the calibration.
    """
    place = deployed_place(target, stack, settings, plan.n_starts + 1)
    check_idle(place, deployed_run_target(target, stack, lambda _line: None), settings)
    check_room(place, plan.n_starts)
    base, prices = load_preset(), _prices(target.region)
    limits = base.typical("s3_reads"), base.typical("s3_writes")
    expected = expected_usd(plan, place.memory_mb, prices, limits)
    if not agree(expected):
        return None
    at = datetime.now(UTC)
    name = f"{PREFIX}{at:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    with probe_function(place, name, log) as function:
        samples = measure(function, plan)
    found = figures_of(samples, plan, base, is_image=place.is_image, cache_zone=place.cache_zone)
    text = preset_of(found.figures, kind=target.kind, stack=stack, region=target.region, at=at)
    path = save_calibration(settings, text, kind=target.kind, stack=stack, at=at)
    return CalibrationOutcome(target.kind, found, base, path, _usd(function, prices), expected)


def remove_left(target: Target, stack: str, settings: Settings, log: Log) -> None:
    """Remove what a killed calibration of a deployment left.

    Raises:
        HarnessError: There is no such deployment, or something cannot be removed.
    """
    left = clean_up(deployed_place(target, stack, settings, 1), f"runs/{PREFIX}", log)
    if left:
        raise HarnessError(left[0], "; ".join(left[1:]))


def _usd(function: ProbeFunction, prices: Prices) -> float:
    return function.gb_s * prices.lambda_gb_s + function.invocations * prices.requests_1m / 1e6


def _prices(region: str) -> Prices:
    """Return the region's prices; where they are not known, those of the default."""
    return load_prices(region if region in priced_regions() else DEFAULT_REGION)
