"""The supervisor's child processes: start them together, wait until all are ready, stop them together."""

import logging
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.errors import HarnessError
from harness.stack.reply import TELL_EVERY_S, WAITING
from harness.stack.service import Service
from harness.system.deaths import BackOff, Death, note_death
from harness.system.probes import FIRST_DELAY_S, next_delay, wait_until
from harness.system.process_labels import end_stack, own_stack_label
from harness.system.process_life import clean_environment
from harness.system.signals import SignalInbox

logger = logging.getLogger(__name__)

# How long a child may take to stop after SIGTERM, and how long the kernel may take to end killed processes.
GENTLE_STOP_S = 1.0
BURIAL_S = 2.0

_ADDRESS_IN_USE = "address already in use"
_LAST_LINES = 3
_LONGEST_QUOTE = 400


class StopRequestedError(Exception):
    """A signal requested a stop while the stack was starting."""


class PortLostError(HarnessError):
    """Another process took a child's port before the child could bind it."""


@dataclass
class Child:
    """A started service.

    Attributes:
        service: The service's description.
        process: Its process; a new one after each restart.
        log: The file with its output.
        back_off: The delay before its next restart.
        due: The time of its next restart, on the monotonic clock; None if no restart is due.
    """

    service: Service
    process: subprocess.Popen[bytes]
    log: Path
    back_off: BackOff = field(default_factory=BackOff)
    due: float | None = None


def start_child(service: Service, directory: Path, root: Path) -> Child:
    """Start the service, with its output in its own log.

    Args:
        service: The service to start.
        directory: The stack's folder.
        root: The project's folder, the service's working directory.
    """
    log = directory / f"{service.name}.log"
    log.write_bytes(b"")
    return Child(service, _start_process(service, directory, root, log), log)


def _start_process(service: Service, directory: Path, root: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        # Call from the main thread only: the kernel kills the child when the thread that started it ends.
        return subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=clean_environment(directory) | service.environment,
        )


def restart_the_dead(children: list[Child], directory: Path, root: Path) -> float | None:
    """Reap every child that ended, and restart those whose service allows it, on the same port.

    Returns:
        The seconds until the next restart is due; None if none is.
    """
    for child, status in _bury_the_dead(children):
        restarts = child.service.restarts
        death = Death(child.service.name, status, time.time(), restarts)
        note_death(directory, death)
        if restarts:
            delay_s = child.back_off.next_delay()
            child.due = time.monotonic() + delay_s
            when = f"in {delay_s:g} s" if delay_s else "now"
            logger.error("%s; starting it again %s, empty and on the same port", death, when)
        else:
            logger.error("%s; the stack is damaged", death)
    for child in children:
        if child.due is not None and child.due <= time.monotonic():
            _restart(child, directory, root)
    waits = [child.due - time.monotonic() for child in children if child.due is not None]
    return max(0.0, min(waits)) if waits else None


def _restart(child: Child, directory: Path, root: Path) -> None:
    try:
        child.process = _start_process(child.service, directory, root, child.log)
    except OSError as error:
        delay_s = child.back_off.next_delay()
        child.due = time.monotonic() + delay_s
        logger.warning("%s cannot be restarted: %s; next attempt in %g s", child.service.name, error, delay_s)
    else:
        child.due = None
        child.back_off.started()
        logger.info("%s is running again, pid %d", child.service.name, child.process.pid)


def wait_until_ready(children: list[Child], inbox: SignalInbox, timeout_s: float) -> dict[str, float]:
    """Wait until every child is ready.

    Returns:
        The seconds that each child took.

    Raises:
        StopRequestedError: A signal requested a stop.
        PortLostError: A child died because its port was taken.
        HarnessError: A child died for another reason, or is not ready in time.
    """
    started = told = time.monotonic()
    seconds: dict[str, float] = {}
    delay_s = FIRST_DELAY_S
    while waiting := [child for child in children if child.service.name not in seconds]:
        for child in children:
            if child.process.poll() is not None:
                raise _death_of(child)
        for child in waiting:
            if child.service.ready():
                seconds[child.service.name] = round(time.monotonic() - started, 3)
        if inbox.stop_requested:
            raise StopRequestedError
        if time.monotonic() - started > timeout_s:
            names = ", ".join(child.service.name for child in waiting)
            raise HarnessError(f"{names}: no answer within {timeout_s:g} s", _last_lines(waiting[0].log))
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            names = ", ".join(child.service.name for child in waiting)
            logger.info("%s%s to answer, after %.0f s", WAITING, names, told - started)
        if len(seconds) < len(children):
            inbox.wait(delay_s)
            delay_s = next_delay(delay_s)
    return seconds


def _bury_the_dead(children: list[Child]) -> list[tuple[Child, int]]:
    """Reap every child that ended, our own and adopted ones; return our own with their exit status."""
    ours = {child.process.pid: child for child in children}
    dead = []
    for pid in _ended_children():
        if pid in ours:
            dead.append((ours[pid], ours[pid].process.wait()))
            if ours[pid].service.stops_gently:
                # A dead gateway cannot end its environments, and the kernel ends only RIE and the runtime.
                end_stack(own_stack_label(), environments_only=True)
        else:
            os.waitpid(pid, 0)
    return dead


def stop_children(children: list[Child]) -> None:
    """Stop all children, then kill every remaining descendant of this process."""
    gentle = [child for child in children if child.service.stops_gently]
    for child in gentle:
        child.process.terminate()
    wait_until(lambda: all(child.process.poll() is not None for child in gentle), GENTLE_STOP_S)
    for child in children:
        child.process.kill()
    for child in children:
        child.process.wait()
    # The children of a killed parent become ours, so one pass may not find all.
    if not wait_until(_no_descendants_after_killing_them, BURIAL_S):
        logger.error("some processes still exist after SIGKILL: %s", psutil.Process().children(recursive=True))


def _no_descendants_after_killing_them() -> bool:
    descendants = psutil.Process().children(recursive=True)
    for process in descendants:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    for pid in _ended_children():
        os.waitpid(pid, 0)
    return not descendants


def _ended_children() -> Iterator[int]:
    """Yield the PID of each ended child; the caller must reap it before it asks for the next."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        yield ended.si_pid


def _death_of(child: Child) -> HarnessError:
    what = f"{child.service.name} ended while it was starting (status {child.process.returncode})"
    quote = _last_lines(child.log)
    kind = PortLostError if _ADDRESS_IN_USE in quote.lower() else HarnessError
    return kind(what, quote)


def _last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-_LAST_LINES:]
    return " | ".join(lines)[-_LONGEST_QUOTE:] or "its log is empty"
