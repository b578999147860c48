"""What `harness invoke` shows of a debugger, and the terminal of a post-mortem."""

import json
import socket
import sys
from typing import TYPE_CHECKING

import click

from harness.cli._terminal import echo, printable
from harness.cli.debug_options import not_at_target
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.gateway.debug_records import DebugChange, DebugRequest, Kind
    from harness.runs.invoke import InvocationAnswer
    from harness.settings import Settings
    from harness.stack import StackState

CONNECT_WITHIN_S = 10.0


def debugger_of(*, debug: bool, pdb: bool, port: int | None, asynchronous: bool, target: str | None) -> "Kind | None":
    """Return the debugger that flags ask for; None if they ask for none.

    Raises:
        HarnessError: The flags contradict one another, or there is no terminal.
    """
    if not (debug or pdb):
        if port is not None:
            raise HarnessError("--debug-port was given without --debug", remedy="add --debug")
        return None
    flag = "--debug" if debug else "--pdb"
    if debug and pdb:
        raise HarnessError("--debug and --pdb were both given", remedy="give one of them")
    if target is not None:
        raise HarnessError(*not_at_target(flag, target))
    if asynchronous:
        raise HarnessError(f"{flag} waits for the answer, and --async does not", remedy="leave one of them out")
    if pdb and port is not None:
        raise HarnessError("--debug-port is for --debug; --pdb opens in this terminal", remedy="leave it out")
    if pdb:
        require_terminal()
    return "debugpy" if debug else "pdb"


def require_terminal() -> None:
    """Refuse a post-mortem where nobody could type.

    Raises:
        HarnessError: Standard input or output is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise HarnessError(
            "--pdb needs a terminal",
            f"standard {'output' if sys.stdin.isatty() else 'input'} is none",
            "run it in a terminal without redirection, or use --debug",
        )


def invoke_under_debugger(
    stack: "StackState", settings: "Settings", function: str, event: bytes, kind: "Kind", port: int | None
) -> "InvocationAnswer":
    """Invoke a function under a debugger and return its answer.

    Args:
        stack: The stack.
        settings: The project's settings.
        function: The function.
        event: The event.
        kind: The debugger.
        port: debugpy's port; None for a free one.

    Raises:
        HarnessError: The port is taken, debugpy cannot be installed, or the invocation was refused.
    """
    import secrets

    from harness.cli._waiting import waiting
    from harness.gateway.debug_records import DebugRequest, DebugTarget
    from harness.runs.debugged_invocation import invoke_debugged
    from harness.runs.debugging import LIFTED_H, debug_ports, package_paths
    from harness.runs.declared import declared
    from harness.system.debugpy import ensure_debugpy

    with waiting("making debugpy ready") as log:
        ensure_debugpy(settings, log)
    (free,) = debug_ports(port)
    paths = package_paths(declared(settings, function))
    token = "" if kind == "debugpy" else secrets.token_urlsafe(16)
    request = DebugRequest(function, (DebugTarget(free),), kind=kind, paths=paths, token=token)
    shown = Shown(settings, request)
    click.echo(f"the function's time limit is lifted, to {LIFTED_H} h", err=True)
    answer = invoke_debugged(stack, request, event, report=shown.report, remind=shown.remind)
    shown.check_started(answer)
    return answer


class Shown:
    """Shows a debugger's changes.

    Args:
        settings: The project's settings.
        request: The session's request.
    """

    def __init__(self, settings: "Settings", request: "DebugRequest") -> None:
        self._settings, self._request, (self._target,) = settings, request, request.targets
        self._started, self._waits, self._detail = False, False, ""

    def report(self, change: "DebugChange") -> None:
        """Print a change, or open the terminal of a post-mortem."""
        from harness.runs.debugging import attach_text

        self._waits = change.state == "waiting"
        self._started = self._started or change.state in {"waiting", "raised"}
        self._detail = change.detail or self._detail
        if change.state == "waiting":
            click.echo(attach_text(self._request.function, self._settings, self._target), err=True)
        elif change.state == "attached" and self._request.kind == "debugpy":
            click.echo("debugpy: a debugger is attached", err=True)
        elif change.state == "raised":
            serve_terminal(self._target.port, self._request.token)

    def remind(self) -> None:
        """Print what the invocation waits for, if it is a debugger."""
        if self._waits:
            click.echo(
                f"still waiting for a debugger to connect to 127.0.0.1:{self._target.port}; Ctrl-C ends", err=True
            )

    def check_started(self, answer: "InvocationAnswer") -> None:
        """Print that the function ran without the debugger, if it did."""
        from harness.runs.debugged_run import NOT_STARTED

        if self._started or (self._request.kind == "pdb" and not (answer.error and self._detail)):
            return
        click.echo(f"{self._request.function} ran without a debugger: {self._detail or NOT_STARTED}", err=True)


def serve_terminal(port: int, token: str) -> None:
    """Connect this terminal to a post-mortem until that ends.

    Args:
        port: Its port on the loopback interface.
        token: What it wants to hear first.

    Raises:
        HarnessError: Nobody listens there.
    """
    import readline  # noqa: F401 - gives `input` its history and its editing

    try:
        connection = socket.create_connection(("127.0.0.1", port), CONNECT_WITHIN_S)
    except OSError as error:
        raise HarnessError(f"the post-mortem cannot be reached: {error}", f"127.0.0.1:{port}") from error
    connection.settimeout(None)
    with connection, connection.makefile("rw", encoding="utf-8") as stream:
        stream.write(token + "\n")
        stream.flush()
        for line in stream:
            message = json.loads(line)
            if "write" in message:
                echo(message["write"], nl=False)
                continue
            try:
                typed = input(printable(message["read"])) + "\n"
            except EOFError:
                typed = ""
                click.echo()
            stream.write(json.dumps(typed) + "\n")
            stream.flush()
