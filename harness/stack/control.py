"""Start, find and stop stacks, from a command, a run or a test."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

import msgspec

from harness.errors import HarnessError
from harness.presets.emulated_network import EmulatedNetwork
from harness.settings import Settings
from harness.stack.code import check_code
from harness.stack.folders import LOG_FILE, PLAN_FILE, clean_up_after_the_killed, make_folder, remove_folder
from harness.stack.lock import shared_stack_lock
from harness.stack.lost import PRIVATE, SHARED, SUPERVISOR_MODULE, find_shared, shared_supervisors
from harness.stack.plan import Log, StackPlan, make_plan
from harness.stack.reply import READY_TIMEOUT_S, TELL_EVERY_S, WAITING, Reply
from harness.stack.service import python_module
from harness.stack.state import Mode, S3Kind, StackState, dead_processes, own_state_file, state_file
from harness.system import records
from harness.system.disk import full, not_writable
from harness.system.private_files import PRIVATE_FILE
from harness.system.probes import wait_until
from harness.system.process_life import ProcessIdentity, inherited_environment, is_alive, require_linux

# Longer than the supervisor waits for its children: it also has to start, and to stop them after a failure.
REPLY_TIMEOUT_S = READY_TIMEOUT_S + 15.0
# The engine needs a while to stop the containers of many environments.
STOP_TIMEOUT_S = 40.0
DOCKER_SOCKET = Path("/var/run/docker.sock")

# Called with the stack's folder, its state file, and the PID of the process with which it ends.
Planner = Callable[..., StackPlan]


def _silent(_line: str) -> None:
    """Discard the message."""


def shared_stack(settings: Settings, *, of_any_code: bool = False) -> StackState | None:
    """Return the stack that `harness up` started, or None.

    Clean up first if a stack was killed.

    Args:
        settings: The project's settings.
        of_any_code: Whether to return a stack that another version of the harness started, too.

    Raises:
        HarnessError: Another version of the harness started it.
    """
    state_dir = settings.state_dir
    with shared_stack_lock(state_dir, wait=False) as locked:
        # Without the lock, another command is starting, stopping or cleaning up the stack right now.
        if locked:
            clean_up_after_the_killed(state_dir)
        state = find_shared(state_dir)
    if state is not None and not of_any_code:
        check_code(state)
    return state


def start_shared_stack(
    settings: Settings,
    *,
    s3: S3Kind | None = None,
    mode: Mode | None = None,
    network: EmulatedNetwork | None = None,
    cache_nodes: int | None = None,
    registry: bool = False,
    log: Log = _silent,
) -> tuple[StackState, bool]:
    """Start the shared stack unless it is up; it runs until `stop_shared_stack`.

    Args:
        settings: The project's settings.
        s3: The S3 implementation; None for that of the settings, or of the stack that is up.
        mode: The mode; None for that of the settings, or of the stack that is up.
        network: The network that a stack which this call starts emulates; None for this machine's own.
        cache_nodes: The number of the cache's nodes; None for that of the settings, or of the stack that is up.
        registry: Whether the stack must have a container registry.
        log: Called with progress messages before the start.

    Returns:
        The stack, and whether this call started it.

    Raises:
        HarnessError: The stack cannot start, or the one that is up is damaged or differs from the request.
    """
    state_dir = settings.state_dir
    with shared_stack_lock(state_dir, log=log):
        clean_up_after_the_killed(state_dir)
        state = find_shared(state_dir)
        if state is not None:
            _check_usable(state, s3, mode, cache_nodes, registry=registry)
            return state, False
        lost = shared_supervisors(state_dir)
        if lost:
            raise HarnessError(
                "a stack is up, but its state files were removed",
                f"its supervisor is pid {lost[0].pid}",
                "run `harness down`, then `harness up`",
            )
        if cache_nodes is not None:
            stack = msgspec.structs.replace(settings.stack, cache_nodes=cache_nodes)
            settings = msgspec.structs.replace(settings, stack=stack)
        plan = partial(_planner(settings, s3, mode, log, registry=registry), network=network)
        process, state = _start_supervisor(state_dir, plan, state_file(state_dir), None, log)
        # The supervisor outlives this process, so pretend that it was waited for.
        process.returncode = 0
        return state, True


def stop_shared_stack(settings: Settings, *, log: Log = _silent) -> bool:
    """Stop the shared stack and wait until it is gone, even if its state file is damaged or missing.

    Args:
        settings: The project's settings.
        log: Called with a message if stopping takes long.

    Returns:
        Whether a stack was up.
    """
    # It may be another one once the stack is down.
    state_dir = settings.state_dir
    with shared_stack_lock(state_dir, log=log):
        supervisors = shared_supervisors(state_dir)
        state = find_shared(state_dir)
        if state is not None and state.supervisor not in supervisors:
            supervisors.append(state.supervisor)
        for supervisor in supervisors:
            _stop_shared_supervisor(supervisor, log)
        clean_up_after_the_killed(state_dir)
        _remove_containers_of_the_killed(settings)
        return bool(supervisors)


def dead_parts(state: StackState) -> list[str]:
    """Return the names of a stack's processes and containers that have ended; all of them without a supervisor."""
    dead = dead_processes(state)
    if not state.containers:
        return dead
    if not is_alive(state.supervisor):
        return [*dead, *state.containers]
    # Importing the engine's client takes a tenth of a second, and process mode does not need it.
    from harness.stack.container_labels import dead_containers  # noqa: PLC0415

    return [*dead, *dead_containers(state)]


@contextmanager
def start_private_stack(  # noqa: PLR0913 - one for each part
    settings: Settings,
    *,
    s3: S3Kind | None = None,
    mode: Mode | None = None,
    faults: bool = False,
    network: EmulatedNetwork | None = None,
    registry: bool = False,
    every_service: bool = False,
    staged_behind: str = "",
    log: Log = _silent,
) -> Iterator[StackState]:
    """Start a stack for this process alone, and stop it at the end of the block or when this process dies.

    Call this in the main thread: the kernel ends the stack together with the thread that started it.

    Args:
        settings: The project's settings.
        s3: The S3 implementation; None for that of the settings.
        mode: The mode; None for that of the settings.
        faults: Whether the stack can inject faults.
        network: The network that it emulates between functions, cache and S3; None for this machine's own.
        registry: Whether the stack has a container registry; requires `mode` container.
        every_service: Whether moto has all of its services, instead of those that runs need.
        staged_behind: The URL of the proxy through which functions use all services; see `StackPlan`.
        log: Called with progress messages before the start.

    Raises:
        HarnessError: The stack cannot start.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a private stack ends with the thread that starts it: start it in the main thread")
    state_dir = settings.state_dir
    with shared_stack_lock(state_dir, wait=False) as locked:
        if locked:
            clean_up_after_the_killed(state_dir)
    parts = {
        "faults": faults,
        "network": network,
        "registry": registry,
        "every_service": every_service,
        "staged_behind": staged_behind,
    }
    plan = partial(_planner(settings, s3, mode, log), **parts)
    process, state = _start_supervisor(state_dir, plan, None, os.getpid(), log)
    try:
        yield state
    except BaseException as error:
        _stop_supervisor(process, state.directory)
        error.add_note("the stack that was started for this command was stopped")
        raise
    _stop_supervisor(process, state.directory)


@contextmanager
def stack_for_run(
    settings: Settings, *, s3: S3Kind | None = None, mode: Mode | None = None, log: Log = _silent
) -> Iterator[StackState]:
    """Use the shared stack if one is up, and otherwise a private one for the duration of the block.

    Args:
        settings: The project's settings.
        s3: The required S3 implementation; if the shared stack has another, it is left alone and a private one starts.
        mode: The required mode; likewise.
        log: Called with progress messages before a private stack starts.

    Raises:
        HarnessError: The shared stack is damaged or of another version, or a private one cannot start.
    """
    state = shared_stack(settings, of_any_code=True)
    if state is not None and s3 in (None, state.s3) and mode in (None, state.mode):
        _check_usable(state, s3, mode)
        yield state
    else:
        with start_private_stack(settings, s3=s3, mode=mode, log=log) as private:
            yield private


def _check_usable(
    state: StackState,
    s3: S3Kind | None,
    mode: Mode | None,
    cache_nodes: int | None = None,
    *,
    registry: bool = False,
) -> None:
    check_code(state)
    dead = dead_parts(state)
    if dead:
        raise HarnessError(
            f"the stack is up, but {', '.join(dead)} no longer runs",
            f"logs: {state.directory}",
            "run `harness down`, then `harness up`",
        )
    if s3 not in (None, state.s3):
        raise HarnessError(
            f"the stack is up with s3 = {state.s3}, not {s3}",
            remedy=f"run `harness down` first, or use it as it is, with s3 = {state.s3}",
        )
    if mode not in (None, state.mode):
        raise HarnessError(
            f"the stack is up in {state.mode} mode, not in {mode} mode",
            remedy=f"run `harness down` first, or use it as it is, in {state.mode} mode",
        )
    nodes = len(state.endpoints.cache_nodes)
    if cache_nodes not in (None, nodes):
        raise HarnessError(
            f"the stack is up with {nodes} node{'s' if nodes > 1 else ''} of the cache, not with {cache_nodes}",
            remedy="run `harness down` first, or leave --cache-nodes out",
        )
    if registry and state.endpoints.registry is None:
        raise HarnessError("the stack is up without a registry", remedy="run `harness down` first")


def _remove_containers_of_the_killed(settings: Settings) -> None:
    if "DOCKER_HOST" in os.environ or DOCKER_SOCKET.exists():
        # Importing the engine's client takes a tenth of a second; without an engine there are no containers.
        from harness.stack.container_labels import remove_stacks_of_the_dead  # noqa: PLC0415

        remove_stacks_of_the_dead(settings.root)


def _planner(settings: Settings, s3: S3Kind | None, mode: Mode | None, log: Log, *, registry: bool = False) -> Planner:
    s3 = s3 or settings.stack.s3
    return partial(make_plan, settings, s3, mode=mode or settings.stack.mode, log=log, registry=registry)


def _start_supervisor(
    state_dir: Path, plan_for: Planner, shared_state: Path | None, owner: int | None, log: Log
) -> tuple[subprocess.Popen[bytes], StackState]:
    require_linux()
    directory = make_folder(state_dir)
    try:
        plan = plan_for(directory, state_file=shared_state or own_state_file(directory), owner=owner)
        records.save(plan, directory / PLAN_FILE)
        with os.fdopen(os.open(directory / LOG_FILE, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE), "wb") as output:
            # In a new session, Ctrl-C reaches only the command, which then stops the stack in order.
            process = subprocess.Popen(
                [*python_module(SUPERVISOR_MODULE), str(directory), SHARED if owner is None else PRIVATE],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                env=inherited_environment(),
                start_new_session=True,
            )
    except OSError as error:
        no_room = full(directory)
        remove_folder(directory)
        raise (HarnessError(*no_room) if no_room else not_writable(directory, error)) from error
    except BaseException:
        remove_folder(directory)
        raise
    try:
        return process, _read_reply(process, directory, log)
    except BaseException as error:
        _stop_supervisor(process, directory)
        error.add_note("the stack that was starting was stopped")
        raise


def _read_reply(process: subprocess.Popen[bytes], directory: Path, log: Log) -> StackState:
    content, told = b"", ""
    deadline = time.monotonic() + REPLY_TIMEOUT_S
    with cast("IO[bytes]", process.stdout) as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise HarnessError(f"the stack did not start within {REPLY_TIMEOUT_S:g} s", f"logs: {directory}")
            if not selector.select(min(left_s, TELL_EVERY_S)):
                _, _, waiting = _tail(directory / LOG_FILE).partition(WAITING)
                if waiting and waiting != told:
                    told = waiting
                    log(f"{WAITING}{waiting}")
                continue
            received = os.read(pipe.fileno(), 65536)
            if not received:
                break
            content += received
    if not content:
        if no_room := full(directory):
            raise HarnessError(*no_room)
        raise HarnessError("the stack's supervisor ended without a reply", _tail(directory / LOG_FILE))
    reply = records.decode(content, Reply)
    if reply.state is None:
        raise HarnessError(reply.what, reply.where, reply.remedy)
    return reply.state


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1] if lines else ""


def _stop_supervisor(process: subprocess.Popen[bytes], directory: Path) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # The supervisor has removed the folder itself, unless it was killed.
    remove_folder(directory)


def _stop_shared_supervisor(supervisor: ProcessIdentity, log: Log) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(supervisor, number)
        if wait_until(lambda: not is_alive(supervisor), TELL_EVERY_S):
            return
        log(f"waiting for the stack's supervisor (pid {supervisor.pid}) to end")
        if wait_until(lambda: not is_alive(supervisor), STOP_TIMEOUT_S - TELL_EVERY_S):
            return
    raise HarnessError(f"the stack's supervisor (pid {supervisor.pid}) does not end, even after SIGKILL")


def _signal(supervisor: ProcessIdentity, number: signal.Signals) -> None:
    try:
        os.kill(supervisor.pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise HarnessError(
            f"the stack (pid {supervisor.pid}) belongs to another user",
            remedy="ask that user to run `harness down`",
        ) from error
