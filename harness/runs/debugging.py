"""Debugging from a command: the session that it opens at the gateway, and what it prints about it.

gateway  --one line of JSON for each change-->  a thread  --changes-->  the command
the command ends, however it does: the connection ends, and with it the session and what the debugger holds
"""

import json
import queue
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.gateway.debug_records import LIFTED_S, SESSIONS, DebugChange, DebugRequest, DebugTarget
from harness.guard import authorization
from harness.runs.declared import declared
from harness.settings import FunctionSettings, Settings
from harness.stack.state import StackState
from harness.system.ports import LOOPBACK, claim_ports_from

# debugpy's own default, and that of the launch.json that `harness init` writes.
FIRST_PORT = 5678
ANSWER_WITHIN_S = 15.0
LIFTED_H = LIFTED_S // 3600
_RANK = re.compile(r"rank=(\d{1,3})")


def debug_targets(ranks: Sequence[str], port: int | None) -> tuple[DebugTarget, ...]:
    """Return the ranks that `--debug` names, each with a port.

    Args:
        ranks: Texts such as `rank=1`.
        port: The first port; None for a free one.

    Raises:
        HarnessError: A text names no rank or one that another names, or the port is taken.
    """
    numbers = []
    for text in ranks:
        found = _RANK.fullmatch(text.strip())
        if found is None:
            raise HarnessError(f"--debug {text!r} names no rank", remedy="write for example --debug rank=1")
        if int(found[1]) in numbers:
            raise HarnessError(f"--debug names rank {found[1]} twice", remedy="name each rank once")
        numbers.append(int(found[1]))
    return tuple(map(DebugTarget, debug_ports(port, len(numbers)), numbers))


def debug_ports(first: int | None, count: int = 1) -> list[int]:
    """Return ports for debuggers, which no other command of the harness chooses while this one runs.

    Args:
        first: The first one, which must be free; None for the first free ones from `FIRST_PORT`.
        count: How many.

    Raises:
        HarnessError: A port is taken.
    """
    if first is None:
        return claim_ports_from(FIRST_PORT, count)
    ports = list(range(first, first + count))
    if claim_ports_from(first, count) != ports:
        raise HarnessError(
            f"port {', '.join(map(str, ports))} for the debugger is taken, or not for this user",
            f"{LOOPBACK}; --debug-port {first}",
            "stop what listens there, choose another --debug-port, or leave it out for a free one",
        )
    return ports


def check_targets(targets: tuple[DebugTarget, ...], n_workers: int) -> None:
    """Compare the ranks to debug with a run's world size.

    Raises:
        HarnessError: The run has no such rank.
    """
    for target in targets:
        if target.rank is not None and n_workers and target.rank >= n_workers:
            raise HarnessError(
                f"--debug rank={target.rank}: the run has no such rank",
                f"{n_workers} workers",
                f"take a rank from 0 to {n_workers - 1}, or more workers with --n-workers",
            )


def package_paths(function: FunctionSettings) -> tuple[tuple[str, str], ...]:
    """Return the function's folders, each with its place in the package; folders within the root come first."""
    included = [(str(folder), folder.name) for folder in function.include]
    return (*included, (str(function.source), "."))


def attach_configuration(name: str, function: FunctionSettings, root: Path, port: int = FIRST_PORT) -> dict[str, Any]:
    """Return the entry of `configurations` in .vscode/launch.json that attaches to a function.

    Args:
        name: The function.
        function: Its table in harness.toml.
        root: The project's folder, which the editor has open.
        port: The debugger's port.
    """
    inside = function.source.is_relative_to(root)
    folder = "/".join(("${workspaceFolder}", *function.source.relative_to(root).parts)) if inside else function.source
    return {
        "name": f"Lambda: attach to {name}",
        "type": "debugpy",
        "request": "attach",
        "connect": {"host": LOOPBACK, "port": port},
        # `.` is the package's folder, wherever it was unpacked. The gateway maps included folders.
        "pathMappings": [{"localRoot": str(folder), "remoteRoot": "."}],
        "justMyCode": True,
    }


def attach_text(name: str, settings: Settings, target: DebugTarget) -> str:
    """Return the lines that say how to attach to a function that waits."""
    configuration = attach_configuration(name, declared(settings, name), settings.root, target.port)
    who = name if target.rank is None else f"rank {target.rank} ({name})"
    return (
        f"debugpy: connect to {LOOPBACK}:{target.port}; {who} waits for it\n"
        f"in .vscode/launch.json, below configurations:\n{json.dumps(configuration, indent=2)}"
    )


class DebugSession:
    """An open session.

    Attributes:
        changes: What it reports; None at its end.

    Args:
        name: Its name at the gateway.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.changes: queue.SimpleQueue[DebugChange | None] = queue.SimpleQueue()

    def wake(self) -> None:
        """Let whoever waits for a change look at something else."""
        self.changes.put(None)


@contextmanager
def debug_session(stack: StackState, request: DebugRequest) -> Iterator[DebugSession]:
    """Open a session for the length of the block.

    Args:
        stack: The stack.
        request: What to debug.

    Raises:
        HarnessError: The gateway refuses it, or does not answer.
    """
    import httpx  # noqa: PLC0415 - it takes a tenth of a second to import, and few commands debug

    url, headers = f"{stack.endpoints.lambda_}{SESSIONS}", authorization(stack.endpoints.access_key)
    # Between two changes a user may look at a breakpoint for hours.
    patience = httpx.Timeout(ANSWER_WITHIN_S, read=None)
    with httpx.Client(headers=headers, timeout=patience, trust_env=False) as client:
        try:
            answer = client.send(client.build_request("POST", url, content=msgspec.json.encode(request)), stream=True)
            if not answer.is_success:
                raise HarnessError(f"the gateway refuses to debug: {answer.read().decode(errors='replace')}", url)
            lines = answer.iter_lines()
            session = DebugSession(msgspec.json.decode(next(lines), type=DebugChange).session)
        except (httpx.HTTPError, StopIteration) as error:
            raise HarnessError(f"the gateway does not answer: {error!r}", url, "see `harness status`") from error
        reader = threading.Thread(target=_read, args=(lines, session), name="debug session", daemon=True)
        reader.start()
        try:
            yield session
        finally:
            # A gateway that is gone has ended the session with itself.
            with suppress(httpx.HTTPError):
                client.delete(f"{url}/{session.name}", timeout=ANSWER_WITHIN_S)
            reader.join(ANSWER_WITHIN_S)
            answer.close()


def _read(lines: Iterator[str], session: DebugSession) -> None:
    import httpx  # noqa: PLC0415 - as above

    with suppress(httpx.HTTPError, httpx.StreamError):
        for line in lines:
            session.changes.put(msgspec.json.decode(line, type=DebugChange))
    session.wake()
