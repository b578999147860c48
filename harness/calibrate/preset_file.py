"""The presets that calibrations wrote, `.harness/calibrations/`: one file each, and which one is the newest."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.calibrate.figures import MeasuredFigure
from harness.errors import HarnessError
from harness.presets.figure import Figure
from harness.presets.preset import DEFAULT
from harness.presets.writer import format_preset
from harness.settings import Settings
from harness.system.private_files import private_folder, write_private

SOURCE = "harness calibrate"
_STAMP = "%Y%m%d-%H%M%S"
# The target, the deployment, and when.
_NAME = re.compile(r"(?P<key>.+)-(?P<stamp>\d{8}-\d{6})\.toml")


def preset_of(
    figures: Mapping[str, MeasuredFigure], *, kind: str, stack: str, region: str, at: datetime, base: str = DEFAULT
) -> str:
    """Return the text of the preset of a calibration.

    Args:
        figures: What was measured.
        kind: `aws` or `rehearsal`.
        stack: The deployment.
        region: Its region.
        at: When it was measured.
        base: The preset of all other figures.
    """
    where = f"{region}, stack {stack}" if kind == "aws" else f"a rehearsal on this machine, stack {stack}"
    measured = f"{at:%Y-%m-%d %H:%M} UTC, {where}"
    table = {
        name: Figure(one.value, f"{SOURCE}, {one.samples} samples", measured, one.doubt)
        for name, one in figures.items()
    }
    name = f"{kind}-{stack}-{at:{_STAMP}}"
    return format_preset(name, table, about=f"{SOURCE}: {measured}", base=base)


def save_calibration(settings: Settings, text: str, *, kind: str, stack: str, at: datetime) -> Path:
    """Store a preset with those of earlier calibrations, and return its path.

    Raises:
        HarnessError: The folder cannot be written to.
    """
    folder = _folder(settings)
    path = folder / f"{kind}-{stack}-{at:{_STAMP}}.toml"
    try:
        private_folder(folder)
        write_private(path, text.encode())
    except OSError as error:
        raise HarnessError(f"the calibration cannot be stored: {error.strerror}", str(path)) from error
    return path


def calibrations(settings: Settings, kind: str, stack: str) -> dict[datetime, Path]:
    """Return the presets of a deployment's calibrations by their time, the oldest first."""
    found = {}
    for path in sorted(_folder(settings).glob("*.toml")):
        name = _NAME.fullmatch(path.name)
        if name is not None and name["key"] == f"{kind}-{stack}":
            found[datetime.strptime(name["stamp"], _STAMP).replace(tzinfo=UTC)] = path
    return found


def newest_calibration(settings: Settings, kind: str, stack: str, before: datetime | None = None) -> Path | None:
    """Return the newest preset that a calibration of a deployment wrote; None if there is none.

    Args:
        settings: The project's settings.
        kind: `aws` or `rehearsal`.
        stack: The deployment.
        before: Leave out those that are not older than this.
    """
    found = calibrations(settings, kind, stack)
    times = [at for at in found if before is None or at < before]
    return found[max(times)] if times else None


def _folder(settings: Settings) -> Path:
    return settings.state_dir / "calibrations"
