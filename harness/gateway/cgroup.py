"""What the kernel knows of a container's memory, read from its control group.

The engine tells the same, but takes a second for it.
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
# Where engines put a container's group below the mount, under version 1 and version 2; and the files that count.
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
        peak: File with the most bytes that were ever used.
        events: File that counts processes killed for want of memory.
    """

    peak: Path
    events: Path

    def peak_mb(self) -> int:
        """The most memory that was ever used, page cache and /tmp included; 0 when the group is gone."""
        try:
            return int(self.peak.read_text()) // 2**20
        except OSError:
            return 0

    def kills(self) -> int:
        """How many processes were killed for want of memory; 0 when the group is gone."""
        try:
            found = re.search(r"^oom_kill (\d+)$", self.events.read_text(), re.MULTILINE)
        except OSError:
            return 0
        return int(found[1]) if found else 0


def memory_group(container_id: str, mount: Path) -> MemoryGroup | None:
    """The group of a running container; None where the engine keeps it elsewhere, or the kernel counts no peaks."""
    for place, peak, events in _PLACES:
        folder = mount / place.format(id=container_id)
        if (folder / peak).exists():
            return MemoryGroup(folder / peak, folder / events)
    return None
