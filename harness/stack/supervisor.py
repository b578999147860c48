"""The process that owns a stack: `python -m harness.stack.supervisor FOLDER`, FOLDER holding `plan.json`.

    command                        supervisor                       children
    makes FOLDER, plan.json
    starts ----------------------> reserves ports
                                   starts all at once -----------> LocalStack, moto, gateway, ...
                                   asks each until it answers
                                   writes the state file
    reads one Reply from stdout <- the state, or why not
                                   waits for a signal
    SIGTERM, or its own death ---> removes the state file
                                   stops ------------------------->
                                   removes FOLDER

Invariant: however this process ends, its children end with it, as the kernel kills them when it is gone;
unless it was killed itself, it leaves no file behind either.
"""

import logging
import os
import sys
from contextlib import closing
from pathlib import Path

from harness.errors import HarnessError
from harness.stack import records
from harness.stack.children import (
    Child,
    PortLostError,
    StopRequestedError,
    bury_the_dead,
    start_child,
    stop_children,
    wait_until_ready,
)
from harness.stack.folders import PLAN_FILE, keep_logs, remove_folder, take_over
from harness.stack.plan import StackPlan, endpoints, services
from harness.stack.ports import ReservedPorts
from harness.stack.process import adopt_orphans, die_with_parent, own_identity
from harness.stack.reply import READY_TIMEOUT_S, Reply
from harness.stack.signals import SignalInbox
from harness.stack.state import StackState, load_state

logger = logging.getLogger(__name__)

# A port that nobody held can still be lost to a process that asks for just this number.
PORT_ATTEMPTS = 3


def main() -> None:
    """Runs the plan until a signal asks for the end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    plan = records.decode(Path(sys.argv[1], PLAN_FILE).read_bytes(), StackPlan)
    take_over(plan.directory)
    adopt_orphans()
    children: list[Child] = []
    with SignalInbox() as inbox:
        try:
            if plan.owner is None or die_with_parent(plan.owner):
                _run(plan, children, inbox)
        except StopRequestedError:
            logger.info("asked to stop while starting")
        except HarnessError as error:
            _reply_failure(error.what, error.where, error.remedy, plan)
        except Exception as error:
            # Ours to mend: the traceback goes to the log, one line to whoever waits.
            logger.exception("the supervisor failed")
            _reply_failure("the stack's supervisor failed", f"{type(error).__name__}: {error}", "", plan)
        finally:
            _forget_state(plan)
            stop_children(children)
            remove_folder(plan.directory)


def _run(plan: StackPlan, children: list[Child], inbox: SignalInbox) -> None:
    """Starts the stack, reports it, and returns when a signal asks for the end."""
    ports, seconds = _start(plan, children, inbox)
    with closing(ports):
        _report(plan, ports.numbers, children, seconds)
        while not inbox.stop_requested:
            inbox.wait(None)
            bury_the_dead(children)


def _start(plan: StackPlan, children: list[Child], inbox: SignalInbox) -> tuple[ReservedPorts, dict[str, float]]:
    attempt = 1
    while True:
        ports = ReservedPorts(plan.port_names, plan.fixed_ports)
        try:
            # Appended one by one: the caller stops those that run, also when a later one cannot be started.
            for service in services(plan, ports.numbers):
                children.append(start_child(service, plan.directory, plan.root))  # noqa: PERF401
            return ports, wait_until_ready(children, inbox, READY_TIMEOUT_S)
        except PortLostError as error:
            if attempt == PORT_ATTEMPTS:
                raise
            logger.warning("%s; trying other ports", error)
        stop_children(children)
        children.clear()
        ports.close()
        attempt += 1


def _report(plan: StackPlan, ports: dict[str, int], children: list[Child], seconds: dict[str, float]) -> None:
    own = own_identity()
    state = StackState(
        pid=own.pid,
        started=own.started,
        s3=plan.s3,
        directory=plan.directory,
        endpoints=endpoints(plan, ports),
        processes={child.service.name: child.process.pid for child in children},
        seconds=seconds,
    )
    records.save(state, plan.state_file)
    _reply(Reply(state))


def _reply(reply: Reply) -> None:
    """Tells whoever waits, once.

    Raises:
        BrokenPipeError: Nobody waits any more, so the stack is not wanted.
    """
    sys.stdout.buffer.write(records.encode(reply))
    sys.stdout.buffer.flush()
    # The reader reads to the end; what might print later goes to the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _forget_state(plan: StackPlan) -> None:
    try:
        state = load_state(plan.state_file)
    except HarnessError:
        # Somebody wrote over it, so it is not ours.
        return
    if state is not None and state.supervisor == own_identity():
        plan.state_file.unlink(missing_ok=True)


def _reply_failure(what: str, where: str, remedy: str, plan: StackPlan) -> None:
    logs = f"logs: {keep_logs(plan.directory)}"
    _reply(Reply(None, what, where, f"{remedy}; {logs}" if remedy else logs))


if __name__ == "__main__":
    main()
