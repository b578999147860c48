"""One invocation under a debugger: the command waits for the answer and reports how far the debugger is."""

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from harness.aws.clients import clients_for
from harness.gateway.debug_records import LIFTED_S, DebugChange, DebugRequest
from harness.runs.debugging import debug_session
from harness.runs.invoke import InvocationAnswer, invoke
from harness.stack.state import StackState

REMIND_EVERY_S = 15.0


def invoke_debugged(
    stack: StackState,
    request: DebugRequest,
    event: bytes,
    *,
    report: Callable[[DebugChange], None],
    remind: Callable[[], None],
) -> InvocationAnswer:
    """Invoke a function, which a debugger may hold for as long as somebody looks at it.

    Args:
        stack: The stack.
        request: What to debug; its only target is the next invocation.
        event: The event.
        report: Called with each change, in this thread.
        remind: Called now and then while nothing changes.

    Raises:
        HarnessError: Lambda refused the call, or the gateway does not answer.
    """
    clients = clients_for(stack.endpoints, invoke_within_s=LIFTED_S)
    # The session ends first, and ends the invocation.
    with ThreadPoolExecutor(1) as pool, debug_session(stack, request) as session:
        answer = pool.submit(invoke, clients.functions, request.function, event, asynchronous=False)
        answer.add_done_callback(lambda _: session.wake())
        while not answer.done():
            try:
                change = session.changes.get(timeout=REMIND_EVERY_S)
            except queue.Empty:
                remind()
                continue
            if change is not None:
                report(change)
        # What was reported together with the end.
        while not session.changes.empty():
            if (change := session.changes.get()) is not None:
                report(change)
        return answer.result()
