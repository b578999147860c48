"""The kernel's memory figures for a container, read from its control group.

The engine reports the same figures, but takes a second to do so.
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
# The places of a container's group below the mount, for versions 1 and 2, with the files that hold the figures.
_PLACES = (
    ("memory/docker/{id}", "memory.max_usage_in_bytes", "memory.oom_control"),
    ("memory/system.slice/docker-{id}.scope", "memory.max_usage_in_bytes", "memory.oom_control"),
    ("system.slice/docker-{id}.scope", "memory.peak", "memory.events"),
    ("docker/{id}", "memory.peak", "memory.events"),
)


@dataclass(frozen=True)
class MemoryGroup:
    """The control group of one container.

    Attributes:
        peak: File with the peak memory usage, bytes.
        events: File that counts processes killed because memory ran out.
    """

    peak: Path
    events: Path

    def peak_mb(self) -> int:
        """Return the peak memory usage, page cache and /tmp included, MB; 0 if the group is gone."""
        try:
            return int(self.peak.read_text()) // 2**20
        except OSError:
            return 0

    def kills(self) -> int:
        """Return how many processes were killed because memory ran out; 0 if the group is gone."""
        try:
            found = re.search(r"^oom_kill (\d+)$", self.events.read_text(), re.MULTILINE)
        except OSError:
            return 0
        return int(found[1]) if found else 0


def memory_group(container_id: str, mount: Path) -> MemoryGroup | None:
    """Return the group of a running container; None if the engine keeps it elsewhere or the kernel records no peaks."""
    for place, peak, events in _PLACES:
        folder = mount / place.format(id=container_id)
        if (folder / peak).exists():
            return MemoryGroup(folder / peak, folder / events)
    return None
