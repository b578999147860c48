"""Whether a deployment can be calibrated now: nobody else uses it, and there is room for the starts."""

import time
from contextlib import suppress
from datetime import datetime

from harness.aws.errors import aws_errors
from harness.calibrate.place import CalibrationPlace
from harness.deploy.calibration_function import CALIBRATION_FUNCTION
from harness.errors import HarnessError
from harness.runs.places import placed_runs
from harness.runs.run_target import RunTarget
from harness.runs.standing import StandingFolder
from harness.settings import Settings

# A calibration takes some minutes; a function that is older was left by one that was killed.
LEFT_AFTER_S = 900.0
# Runs are stored for weeks; one that is under way is among the newest.
_NEWEST = 5


def check_idle(place: CalibrationPlace, target: RunTarget, settings: Settings) -> None:
    """Check that no run and no other calibration uses a deployment: each would disturb the other.

    Raises:
        HarnessError: One does.
    """
    with aws_errors("looking for runs that are under way"):
        for run in placed_runs(target)[-_NEWEST:]:
            folder = StandingFolder(target, run.bucket, run.run_id, settings)
            if run.stored_at and folder.status() == "running":
                raise HarnessError(
                    f"run {run.run_id} is under way on this deployment",
                    "it would be slowed down, and the figures would be wrong",
                    f"wait until it has ended, or `harness stop {run.run_id} --target {place.kind}`",
                )
        age_s = _age_s(place)
    if age_s is not None and age_s < LEFT_AFTER_S:
        raise HarnessError(
            "another calibration of this deployment is under way",
            f"function {CALIBRATION_FUNCTION} is {age_s:.0f} s old",
            "wait until it has ended; if it was killed, `harness calibrate --clean-up` removes what it left",
        )


def check_room(place: CalibrationPlace, n_starts: int) -> None:
    """Check that the account allows so many environments at once beside those that are reserved.

    Raises:
        HarnessError: It does not.
    """
    with aws_errors("reading the account's concurrency"):
        limits = place.managing.get_account_settings()["AccountLimit"]
    free = int(limits["UnreservedConcurrentExecutions"])
    # One environment starts before those that are measured.
    if free < n_starts + 1:
        raise HarnessError(
            f"{n_starts} starts at once need {n_starts + 1} environments, and the account has {free} unreserved",
            "Service Quotas, AWS Lambda, Concurrent executions",
            f"ask for fewer: --n-starts {free - 1}" if free > 2 else "raise the quota",
        )


def _age_s(place: CalibrationPlace) -> float | None:
    """Return how long ago the calibration's function was last changed; None if there is none."""
    with suppress(place.managing.exceptions.ResourceNotFoundException):
        changed = place.managing.get_function_configuration(FunctionName=CALIBRATION_FUNCTION)["LastModified"]
        return time.time() - datetime.fromisoformat(changed).timestamp()
    return None
