"""The process that owns a stack: `python -m harness.stack.supervisor FOLDER KIND`, where FOLDER holds `plan.json`.

KIND, `shared` or `private`, lets `harness down` find the supervisor of the shared stack by its command line.

    command                        supervisor                       processes or containers
    creates FOLDER, plan.json
    starts ----------------------> starts all at once -----------> LocalStack, moto, gateway, ...
                                   probes each until it responds
                                   writes the state file
    reads one Reply from stdout <- the state, or the error
                                   waits for a signal; looks whether the project is there
    SIGTERM, its own death,
    or the project's removal ----> removes the state file
                                   stops ------------------------->
                                   removes FOLDER

Invariant: however this process ends, the kernel ends its child processes with it;
unless it is killed, it also leaves no file and no container behind.
We wrote it because supervisord and the like cannot guarantee that: they leave children behind when they are killed.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.stack.children import StopRequestedError
from harness.stack.code import stack_code_sha256
from harness.stack.folders import PLAN_FILE, keep_logs, remove_folder, take_over
from harness.stack.parts import Parts, Started
from harness.stack.plan import StackPlan
from harness.stack.process_stack import ProcessStack
from harness.stack.reply import Reply
from harness.stack.state import StackState, load_state, own_state_file
from harness.system import records
from harness.system.disk import full
from harness.system.private_files import PRIVATE_UMASK
from harness.system.process_labels import set_label, stack_label
from harness.system.process_life import adopt_orphans, die_with_parent, own_identity
from harness.system.signals import SignalInbox

logger = logging.getLogger(__name__)

# How long a stack outlives its project, whose folder somebody removed.
LOOK_EVERY_S = 5.0


def main() -> None:
    """Start the planned stack and run it until a signal requests a stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(PRIVATE_UMASK)
    plan = records.decode(Path(sys.argv[1], PLAN_FILE).read_bytes(), StackPlan)
    take_over(plan.directory)
    adopt_orphans()
    parts: Parts | None = None
    with SignalInbox() as inbox:
        try:
            set_label(os.getpid(), stack_label(plan.directory))
            if plan.owner is None or die_with_parent(plan.owner):
                parts = _parts_of(plan)
                state = _report(plan, parts.start(inbox))
                with opened(plan.root) as root:
                    while not inbox.stop_requested and not is_removed(root):
                        due_s = parts.tidy()
                        state = _updated(state, parts.processes(), plan)
                        inbox.wait(LOOK_EVERY_S if due_s is None else min(due_s, LOOK_EVERY_S))
        except StopRequestedError:
            logger.info("stop requested while starting")
        except HarnessError as error:
            _reply_failure(error.what, error.where, error.remedy, plan)
        except Exception as error:
            # A bug of ours: write the traceback to the log, and one line to the waiting command.
            logger.exception("the supervisor failed")
            _reply_failure("the stack's supervisor failed", f"{type(error).__name__}: {error}", "", plan)
        finally:
            _forget_state(plan)
            if parts is not None:
                parts.stop()
            remove_folder(plan.directory)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Provide a descriptor that stands for this very folder, whatever its name will be."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_removed(descriptor: int) -> bool:
    """Return whether an open folder has been removed, rather than renamed; False if the file system cannot tell."""
    try:
        return os.fstat(descriptor).st_nlink == 0
    except OSError:
        return False


def _parts_of(plan: StackPlan) -> Parts:
    if plan.images is not None:
        # Importing the engine's client takes a tenth of a second, and process mode does not need it.
        from harness.stack.container_stack import ContainerStack  # noqa: PLC0415

        return ContainerStack(plan, plan.images)
    assert plan.programs is not None  # noqa: S101 - a plan has either images or programs
    return ProcessStack(plan, plan.programs)


def _report(plan: StackPlan, started: Started) -> StackState:
    own = own_identity()
    state = StackState(
        pid=own.pid,
        started=own.started,
        mode=plan.mode,
        s3=plan.s3,
        directory=plan.directory,
        endpoints=started.endpoints,
        functions_see=started.functions_see,
        processes=started.processes,
        containers=started.containers,
        network=started.network,
        seconds=started.seconds,
        code_sha256=stack_code_sha256(),
    )
    _save(state, plan)
    _reply(Reply(state))
    return state


def _save(state: StackState, plan: StackPlan) -> None:
    """Save the state where commands look for it, and in the stack's own folder as a backup."""
    for path in {own_state_file(plan.directory), plan.state_file}:
        records.save(state, path)


def _updated(state: StackState, processes: dict[str, int], plan: StackPlan) -> StackState:
    """Save the state if the PID of a part has changed."""
    if processes == state.processes:
        return state
    state = msgspec.structs.replace(state, processes=processes)
    try:
        _save(state, plan)
    except OSError as error:
        logger.warning("cannot update the pid in the state file: %s", error)
    return state


def _reply(reply: Reply) -> None:
    """Send the one reply to the waiting command.

    Raises:
        BrokenPipeError: The command has ended, so the stack is not needed.
    """
    sys.stdout.buffer.write(records.encode(reply))
    sys.stdout.buffer.flush()
    # The command reads until the pipe closes; later output goes to the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _forget_state(plan: StackPlan) -> None:
    try:
        state = load_state(plan.state_file)
    except HarnessError:
        # Another program overwrote the file, so it is not ours to remove.
        return
    if state is not None and state.supervisor == own_identity():
        plan.state_file.unlink(missing_ok=True)


def _reply_failure(what: str, where: str, remedy: str, plan: StackPlan) -> None:
    if no_room := full(plan.directory):
        # A full disk is the cause of any failure, and leaves no room to keep the logs.
        _reply(Reply(None, *no_room))
        return
    logs = f"logs: {keep_logs(plan.directory)}"
    _reply(Reply(None, what, where, f"{remedy}; {logs}" if remedy else logs))


if __name__ == "__main__":
    main()
