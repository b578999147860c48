"""A run is kept: its folder in S3, its log and its summary are copied below `.harness/runs/`.

Invariant: a folder of a run's name is complete. It is written under a name with a leading dot, and then renamed.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from harness.history.folder import KeptFolder, history_root
from harness.history.limits import keep_limits
from harness.history.names import is_safe
from harness.history.records import FINAL, INVOCATIONS, LOG, OWN_NAMES, RUN, SUMMARY, KeptRecord, LoggedLine
from harness.settings import Settings
from harness.stack.folders import open_state_dir
from harness.system.disk import writing_into
from harness.system.private_files import PRIVATE_FILE, PRIVATE_FOLDER, private_folder
from training.errors import TrainingError
from training.run.invoking import CONNECTIONS
from training.run.results import RunFolder

# The state of a checkpoint matters to workers alone, and may be as large as the model several times over.
NOT_KEPT = ("checkpoint/",)
MOST_OBJECTS = 20_000
MOST_LOG_BYTES = 64 << 20
# A folder that was being written an hour ago belongs to a command that was killed.
ABANDONED_AFTER_S = 3600.0


def keep_run(
    settings: Settings,
    source: RunFolder,
    record: KeptRecord,
    *,
    summary: object = None,
    lines: Iterable[LoggedLine] = (),
    invocations: Sequence[Mapping[str, Any]] = (),
    replace: bool = True,
) -> KeptFolder:
    """Keep a run, and remove the oldest ones beyond the limits.

    Args:
        settings: The project's settings.
        source: The run's folder in S3. What cannot be read of it is left out, and `run.json` says so.
        record: `run.json`, without what this call finds out.
        summary: The run's summary; None if it has not succeeded.
        lines: Its log.
        invocations: The records of its invocations.
        replace: Whether to replace a kept run of this name that has ended.

    Returns:
        The kept run.

    Raises:
        HarnessError: The disk is full, or the folder cannot be written to. Nothing of the run is kept then.
    """
    root = history_root(settings)
    with writing_into(settings.state_dir):
        open_state_dir(settings.state_dir)
        private_folder(root)
        remove_abandoned(root)
        new = root / f".new-{record.run_id}-{os.getpid()}-{secrets.token_hex(4)}"
        new.mkdir(mode=PRIVATE_FOLDER)
        try:
            left_out = _copy(source, new, settings.history.most_mb << 20)
            if summary is not None:
                _write(new / SUMMARY, msgspec.json.encode(summary))
            left_out += _write_log(new / LOG, lines)
            if invocations:
                _write(new / INVOCATIONS, msgspec.json.Encoder().encode_lines(invocations))
            size = sum(path.stat().st_size for path in new.rglob("*") if path.is_file())
            record = msgspec.structs.replace(record, left_out=[*record.left_out, *left_out], bytes=size)
            _write(new / RUN, msgspec.json.encode(record))
            kept = _put_in_place(new, root / record.run_id, replace=replace)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        keep_limits(root, settings.history, spare=record.run_id)
    return KeptFolder(kept)


def remove_abandoned(root: Path) -> None:
    """Remove what commands that were killed left half written."""
    for path in root.glob(".*-*"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_AFTER_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # it is gone
            continue


def _put_in_place(new: Path, place: Path, *, replace: bool) -> Path:
    """Give the complete folder its name; another command may keep the same run at the same time."""
    for _ in range(3):
        try:
            return new.rename(place)
        except OSError:
            if not place.is_dir():
                raise
        there = KeptFolder(place).record()
        if not replace and there is not None and there.status in FINAL:
            return place
        old = place.with_name(f".old-{place.name}-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            place.rename(old)
        except FileNotFoundError:  # the other command is as far as this one
            continue
        shutil.rmtree(old, ignore_errors=True)
    return place


def _copy(source: RunFolder, new: Path, most_bytes: int) -> list[str]:
    """Copy the objects of a run's folder, several at once; return what was left out, each with the reason."""
    try:
        sizes = source.sizes("")
    except TrainingError as error:
        return [f"all objects: {_line(error)}"]
    chosen, left_out = _choose(sizes, most_bytes)
    for folder in sorted({str(Path(name).parent) for name in chosen}):
        (new / folder).mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for name, reason in zip(chosen, pool.map(lambda name: _copy_one(source, name, new), chosen), strict=True):
            if reason:
                left_out.append(f"{name}: {reason}")
    return left_out


def _choose(sizes: Mapping[str, int], most_bytes: int) -> tuple[list[str], list[str]]:
    """Return the objects to keep, small ones first, and what is left out, each with the reason."""
    chosen: list[str] = []
    left_out: list[str] = []
    total = 0
    folders = {str(parent) for name in sizes for parent in Path(name).parents}
    for name, size in sorted(sizes.items(), key=lambda one: (one[1], one[0])):
        if name.startswith(NOT_KEPT):
            continue
        if name in OWN_NAMES or name in folders or not is_safe(name):
            left_out.append(f"{ascii(name)[1:-1]}: it has not the name of a run's object")
        elif total + size > most_bytes or len(chosen) >= MOST_OBJECTS:
            left_out.append(f"{name}: {size} bytes are more than [history] most_mb allows")
        else:
            chosen.append(name)
            total += size
    return chosen, left_out


def _copy_one(source: RunFolder, name: str, new: Path) -> str:
    """Copy an object; return why it could not be read, or nothing."""
    try:
        body = source.read(name)
    except TrainingError as error:
        return _line(error)
    if body is None:
        return "it went while it was read"
    _write(new / name, body)
    return ""


def _write_log(path: Path, lines: Iterable[LoggedLine]) -> list[str]:
    """Write the log; return what was left out."""
    encoder, size, late = msgspec.json.Encoder(), 0, 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        for line in lines:
            encoded = encoder.encode(line) + b"\n"
            size += len(encoded)
            if size > MOST_LOG_BYTES:
                late += 1
            else:
                file.write(encoded)
    return [f"{LOG}: the last {late} lines, beyond {MOST_LOG_BYTES >> 20} MB"] if late else []


def _write(path: Path, body: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        file.write(body)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
