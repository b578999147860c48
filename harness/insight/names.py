"""Names of the objects in a run's folder."""

import re

from training.job_fields import MOST_WORKERS

_NAME = re.compile(r"[a-z]+/(\d{1,6})\.(\d{1,6})\.json")


def attempt_of(name: str) -> tuple[int, int] | None:
    """Return rank and attempt of a worker's record, such as `telemetry/3.1.json`; None for another name."""
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) >= MOST_WORKERS or int(found[2]) < 1:
        return None
    return int(found[1]), int(found[2])
