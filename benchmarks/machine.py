"""The machine on which figures were measured; without it they mean little."""

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The machine and date of a measurement.

    Attributes:
        date: The day in ISO 8601.
        revision: The clone's commit, with `+` when files differ from it.
        processor: The processor's model.
        cores: Cores that this process may use.
        kernel: The operating system and its version.
        python: Python's version.
        load: Mean number of runnable processes in the minute before, which indicates other work.
    """

    date: str
    revision: str
    processor: str
    cores: int
    kernel: str
    python: str
    load: float

    def __str__(self) -> str:
        return (
            f"{self.date}, revision {self.revision}, {self.processor}, {self.cores} cores, {self.kernel}, "
            f"Python {self.python}, load {self.load:.1f} at the start"
        )


def this_machine() -> Machine:
    """Return the description of this machine."""
    return Machine(
        date=time.strftime("%Y-%m-%d"),
        revision=_revision(Path(__file__).parent),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _revision(folder: Path) -> str:
    # `--exclude` leaves out tags, because `make bench-compare` needs a commit's own name.
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"
