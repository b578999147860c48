"""The file that replays a finding: a schedule with all that its function is given.

.harness/explore/orders-1.json     the first finding of the last exploration of `orders`
"""

from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.explore.findings import Exploration
from harness.explore.schedule import Schedule
from harness.settings import Settings
from harness.stack.folders import open_state_dir
from harness.system.disk import writing_into
from harness.system.private_files import private_folder, write_private

VERSION = 1


class ReplayFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding's schedule, to be played again.

    Attributes:
        version: The form of this file.
        title: The schedule in words, for people.
        function: The function's name, as harness.toml declares it, or for people if there is a source.
        source: The folder or file of a function that harness.toml does not declare; None otherwise.
        event: The event.
        prepare: The file of `--prepare`; None if there was none.
        schedule: The schedule.
    """

    version: int = VERSION
    title: str = ""
    function: str
    source: str | None = None
    event: Any
    prepare: str | None = None
    schedule: Schedule = Schedule()


def with_replays(found: Exploration, settings: Settings, replay: ReplayFile) -> Exploration:
    """Store each finding for a replay, in the place of the function's earlier ones; return them with their files.

    Args:
        found: The exploration.
        settings: The project's settings.
        replay: What all findings have in common.

    Raises:
        HarnessError: The project's folder is not writable.
    """
    folder = settings.state_dir / "explore"
    stored = []
    with writing_into(settings.state_dir):
        open_state_dir(settings.state_dir)
        private_folder(folder)
        for old in folder.glob("*.json"):
            if old.stem.rpartition("-")[0] == replay.function:
                old.unlink(missing_ok=True)
        for number, finding in enumerate(found.findings, start=1):
            path = folder / f"{replay.function}-{number}.json"
            record = msgspec.structs.replace(replay, title=finding.title, schedule=finding.schedule)
            write_private(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
            stored.append(msgspec.structs.replace(finding, file=_shown(path)))
    return msgspec.structs.replace(found, findings=tuple(stored))


def read_replay(path: Path) -> ReplayFile:
    """Return the content of a file of a finding.

    Raises:
        HarnessError: It cannot be read, or it is not such a file; what is wrong is named.
    """
    remedy = "give a file that `harness explore` named in a finding"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ReplayFile)
    except OSError as error:
        raise HarnessError(f"--replay {path} cannot be read: {error.strerror}", remedy=remedy) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"--replay {path} is no schedule: {error}", remedy=remedy) from error
    if found.version != VERSION:
        raise HarnessError(
            f"--replay {path} has version {found.version}; this harness reads version {VERSION}",
            remedy="explore the function again",
        )
    return found


def _shown(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
