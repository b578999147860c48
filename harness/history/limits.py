"""The limits of the kept runs: their number, their size and their age; the oldest go first."""

import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from harness.history.folder import KeptFolder, kept_runs
from harness.settings import HistorySettings
from harness.system.private_files import PRIVATE_FILE

# Runs that the limits removed: their folders may still be in a stack's S3, and would be kept again and again.
FORGOTTEN, MOST_FORGOTTEN = ".forgotten", 2000
DAY_S = 86_400.0


def keep_limits(root: Path, limits: HistorySettings, *, spare: str = "") -> list[str]:
    """Remove the oldest runs beyond the limits, and return their ids.

    Args:
        root: The folder of the kept runs.
        limits: The limits.
        spare: A run that stays, whatever the limits say: the one that has just ended.
    """
    removed = beyond_limits(kept_runs(root), limits, now=time.time(), spare=spare)
    remove_runs(removed)
    forget(root, [folder.run_id for folder in removed])
    return [folder.run_id for folder in removed]


def beyond_limits(kept: list[KeptFolder], limits: HistorySettings, *, now: float, spare: str = "") -> list[KeptFolder]:
    """Return the runs that the limits leave no room for.

    Args:
        kept: All kept runs, the oldest first.
        limits: The limits.
        now: The time, seconds since the epoch.
        spare: A run that stays, and counts.
    """
    oldest, most_bytes = now - DAY_S * limits.max_age_days, limits.most_mb << 20
    runs, total, gone = 0, 0, []
    for folder in sorted(kept, key=lambda folder: folder.run_id == spare)[::-1]:
        record = folder.record()
        size = record.bytes if record else _size(folder.path)
        too_old = record is not None and record.started_at < oldest
        stays = runs < limits.most_runs and total + size <= most_bytes and not too_old
        if record is not None and record.status == "running":
            stays = True
        if stays or folder.run_id == spare:
            runs, total = runs + 1, total + size
        else:
            gone.append(folder)
    return gone[::-1]


def remove_runs(runs: Iterable[KeptFolder]) -> None:
    """Remove kept runs; each is there as a whole or gone as a whole."""
    for folder in runs:
        old = folder.path.with_name(f".old-{folder.run_id}-{os.getpid()}-{secrets.token_hex(4)}")
        with suppress(FileNotFoundError):  # another command removes it
            folder.path.rename(old)
            shutil.rmtree(old, ignore_errors=True)


def forget(root: Path, run_ids: Collection[str]) -> None:
    """Remember that the limits removed these runs."""
    if not run_ids:
        return
    known = [*forgotten(root), *run_ids][-MOST_FORGOTTEN:]
    path = root / FORGOTTEN
    new = path.with_name(f"{FORGOTTEN}-{os.getpid()}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "w") as file:
        file.writelines(f"{run_id}\n" for run_id in dict.fromkeys(known))
    new.replace(path)


def forgotten(root: Path) -> list[str]:
    """Return the runs that the limits removed."""
    try:
        return (root / FORGOTTEN).read_text().split()
    except (OSError, UnicodeDecodeError):
        return []


def _size(path: Path) -> int:
    sizes = (file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        return sum(sizes)
    except OSError:  # it is being removed
        return 0
