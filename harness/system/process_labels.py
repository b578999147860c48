"""Label a stack's processes, so that every descendant can be found and ended, whatever it did to get away.

A process that calls `setsid`, forks twice or clears its environment variables leaves its session, its parent and its
variables behind, but not its resource limits.
One of these has had no effect since Linux 2.4.25: `RLIMIT_LOCKS`.
Every process inherits it through fork and exec, any user may set it, and any process of the same user may read it.
Its soft value holds the label (docs/decisions/0018):

     63    55 54                        23 22                   0
    +--------+----------------------------+----------------------+
    |   0    |           stack            |     environment      |     environment 0: the stack's own processes
    +--------+----------------------------+----------------------+

Invariant: a signal goes only to a process whose label was read immediately before.
https://man7.org/linux/man-pages/man2/prlimit.2.html
"""

import os
import re
import resource
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from harness.errors import HarnessError

# `resource` does not name it. https://elixir.bootlin.com/linux/latest/source/include/uapi/asm-generic/resource.h
_RLIMIT_LOCKS = 10
_ENVIRONMENT_BITS = 23
_UNLABELLED = 1 << _ENVIRONMENT_BITS

# Processes die within milliseconds of SIGKILL, unless the kernel waits for a device.
END_WITHIN_S = 5.0
_FIRST_POLL_S, _LONGEST_POLL_S = 0.001, 0.05
_LOCKS_LINE = re.compile(rb"^Max file locks\s+(\d+)", re.MULTILINE)


def stack_label(directory: Path) -> int:
    """Return the label of the stack with this folder, whose name is random and never reused."""
    return label_of_stack(zlib.crc32(directory.name.encode(errors="surrogateescape")))


def own_stack_label() -> int:
    """Return the label of the stack that this process belongs to, labelling the process if it has none.

    Raises:
        HarnessError: The label cannot be set.
    """
    label = label_of(os.getpid()) or 0
    if label < _UNLABELLED:
        label = label_of_stack(int.from_bytes(os.urandom(4), "big"))
        set_label(os.getpid(), label)
    return label_of_stack(label >> _ENVIRONMENT_BITS)


def label_of_stack(number: int) -> int:
    """Return the label of the stack with this number; 0 stands for number 1."""
    return (number or 1) << _ENVIRONMENT_BITS


def stack_number(stack: int) -> int:
    """Return the number of the stack in a label."""
    return stack >> _ENVIRONMENT_BITS


def environment_label(stack: int, number: int) -> int:
    """Return the label of one environment of a stack, numbered from 1."""
    return stack | (number % (1 << _ENVIRONMENT_BITS) or 1)


def set_label(pid: int, label: int) -> None:
    """Label a process and every process that it starts from now on.

    Raises:
        ProcessLookupError: The process has ended.
        HarnessError: The limit is locked at a lower value.
    """
    try:
        resource.prlimit(pid, _RLIMIT_LOCKS, (label, resource.RLIM_INFINITY))
    except (ValueError, PermissionError) as error:
        raise HarnessError(
            "processes cannot be labelled: the hard limit on file locks is set",
            f"RLIMIT_LOCKS: {resource.prlimit(0, _RLIMIT_LOCKS)}",
            "start from a shell where `ulimit -H -x` prints `unlimited`",
        ) from error


def label_of(pid: int) -> int | None:
    """Return the label of a process or thread; None if it does not exist or has no label."""
    try:
        label = resource.prlimit(pid, _RLIMIT_LOCKS)[0]
    except ProcessLookupError:
        return None
    except PermissionError:
        return _label_in_file(pid) if _may_signal(pid) else None
    return label if label >= _UNLABELLED else None  # -1 stands for unlimited


def has_services(stack: int) -> bool:
    """Return whether a process of the stack itself is running, rather than of one of its environments."""
    return any(True for _ in _running(lambda found: found == stack, but=0))


def end_environment(label: int) -> bool:
    """Kill every process of one environment and wait until all have ended; return whether they have."""
    return _end(lambda found: found == label)


def end_stack(stack: int, *, environments_only: bool = False) -> bool:
    """Kill every process of a stack except this one, and wait until all have ended; return whether they have.

    Args:
        stack: The stack's label.
        environments_only: Whether to leave the stack's own services running.
    """
    return _end(lambda found: stack_number(found) == stack_number(stack) and not (environments_only and found == stack))


class Members:
    """The processes of one environment, except RIE and the client that stands in for a forked runtime.

    Scanning every process takes half a millisecond, too long for each invocation.
    The kernel assigns process IDs in ascending order, and /proc/loadavg holds the last one.
    So only the IDs assigned during an invocation are checked, usually none or a few.

    Args:
        label: The environment's label.
        rie: The pid of RIE, which is never stopped.
    """

    # For more candidates than this, listing /proc is as fast.
    MOST_CANDIDATES = 200

    def __init__(self, label: int, rie: int) -> None:
        self._label = label
        self._rie = rie
        self._pids: list[int] = []
        # RIE has not started any other process yet.
        self._last_seen = self._thawed = last_pid()
        self._begin = self._last_seen
        self._rechecked = True
        self.frozen = False

    def freeze(self) -> None:
        """Stop all processes, including those that appear while the others are being stopped."""
        self.frozen = True
        self._begin, self._rechecked = self._last_seen, False
        self._signal(self._pids, signal.SIGSTOP)
        self._stop_new()

    def freeze_late_children(self) -> bool:
        """Stop the children of forks that were in progress during `freeze`; return whether more may appear.

        A fork of a large process takes milliseconds. Its child has a process ID early, but is visible only at the end.
        The parent stops only when the fork is complete.
        """
        stopped = all(_status_of(pid).get("State", "Z")[0] in "TtZX" for pid in self._pids)
        self._last_seen = self._begin
        self._rechecked = not self._stop_new() and stopped
        return not self._rechecked

    def thaw(self) -> None:
        """Let all processes continue, children before their parents."""
        if self.frozen:
            self.frozen = False
            # A frozen environment starts no process, but without a second check one may have appeared unseen.
            now = last_pid()
            self._last_seen = now if self._rechecked else self._thawed
            self._thawed = now
            self._signal(reversed(self._pids), signal.SIGCONT)

    def _stop_new(self) -> bool:
        found = False
        while new := self._find_new():
            self._signal(new, signal.SIGSTOP)
            found = True
        return found

    def _signal(self, pids: Iterable[int], number: signal.Signals) -> None:
        ended = []
        for pid in pids:
            if label_of(pid) != self._label:
                ended.append(pid)
                continue
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if ended:
            self._pids = [pid for pid in self._pids if pid not in ended]

    def _find_new(self) -> list[int]:
        """Return the processes that have appeared since the last call; threads are part of their process."""
        last = last_pid()
        own = last_pid_is_own()
        if own and last == self._last_seen:
            return []
        few = own and self._last_seen < last <= self._last_seen + self.MOST_CANDIDATES
        candidates = range(self._last_seen + 1, last + 1) if few else _all_pids()
        self._last_seen = last
        new = [
            pid
            for pid in candidates
            if label_of(pid) == self._label and pid not in self._pids and self._is_a_member(pid)
        ]
        self._pids += new
        return new

    def _is_a_member(self, pid: int) -> bool:
        status = _status_of(pid)
        if not str(self._rie) != status.get("Tgid") == str(pid):
            return False
        # Any process may take such a name, but only the client is also RIE's child.
        return not (status["Name"].startswith("fork ") and status["PPid"] == str(self._rie))


def last_pid() -> int:
    """Return the process ID that the kernel assigned last; threads use one, too."""
    return int(os.pread(_loadavg(), 100, 0).rsplit(b" ", 1)[1])


@cache
def last_pid_is_own() -> bool:
    """Return whether `last_pid` refers to this process's namespace; in a container, lxcfs may show another one's."""
    for _ in range(3):  # retry, because the numbers may wrap around
        before = last_pid()
        thread = threading.Thread(target=bool)
        thread.start()
        thread.join()
        if before < (thread.native_id or 0) <= last_pid():
            return True
    return False


@cache
def _loadavg() -> int:
    """Return an open descriptor of /proc/loadavg, because opening the file takes longer than reading it."""
    return os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)


def _end(matches: Callable[[int], bool]) -> bool:
    deadline = time.monotonic() + END_WITHIN_S
    delay_s = _FIRST_POLL_S
    while running := list(_running(matches, os.getpid())):
        # Stop all before killing any, so that none can start another process.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in running:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        if time.monotonic() > deadline:
            return False
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, _LONGEST_POLL_S)
    return True


def _running(matches: Callable[[int], bool], but: int) -> Iterator[int]:
    """Yield the running processes with a matching label, except one."""
    for pid in _all_pids():
        label = label_of(pid)
        if label is not None and matches(label) and pid != but and _status_of(pid).get("State", "Z")[0] not in "ZX":
            yield pid


def _all_pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - pathlib takes twice as long


def _status_of(pid: int) -> dict[str, str]:
    """Return the fields of a process's /proc status; nothing if it has ended, or is hidden (`hidepid`)."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def _may_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (PermissionError, ProcessLookupError):
        return False
    return True


def _label_in_file(pid: int) -> int | None:
    """Return the label of a set-ID program from the file of its limits, which anyone may read."""
    try:
        found = _LOCKS_LINE.search(Path(f"/proc/{pid}/limits").read_bytes())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return int(found[1]) if found and int(found[1]) >= _UNLABELLED else None
