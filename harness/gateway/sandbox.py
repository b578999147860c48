"""The sandbox of an execution environment: RIE with one runtime behind it, as processes or in a container."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Protocol

from harness.gateway import limits
from harness.gateway.credentials import credentials
from harness.gateway.debug_records import Debugger
from harness.gateway.records import Function
from harness.gateway.runtime.debugger import SPEC
from harness.runtimes.mark import OPT

READY_WITHIN_S = 10.0
READY_POLL_S = 0.002

_EXIT_REASON = re.compile(
    r"\(rapid\) In(?:it|voke) failed.*? error=(Runtime exited .+?)(?: InvokeID=\S*)?$", re.MULTILINE
)


class Sandbox(Protocol):
    """A started RIE.

    Attributes:
        address: `host:port` at which RIE accepts invocations.
        shares_output: Whether RIE's own lines appear in the function's output.
    """

    address: str
    shares_output: bool

    @property
    def alive(self) -> bool:
        """Return whether RIE still runs, as far as is known."""

    def headers(self, arn: str, trace: str) -> dict[str, str]:
        """Return the headers for RIE that give the runtime the invoked ARN and a trace id, if RIE can pass them on."""

    def read_output(self, take: Callable[[bytes], bool]) -> None:
        """Start to deliver output as it arrives.

        Args:
            take: Receives each chunk, and returns whether it has room for more; without room the output waits, and
                in the end the function that prints it.
        """

    def resume_output(self) -> None:
        """Continue to deliver output, because there is room again."""

    def drain_output(self) -> None:
        """Deliver all output so far, even without room; output still in transit arrives soon."""

    async def max_memory_mb(self) -> int:
        """Return the peak memory of the function so far; 0 if it cannot be measured."""

    async def signal(self, number: Signals) -> None:
        """Send a signal to the handler's process, if there is one."""

    def exit_reason(self) -> str:
        """Return how the runtime has ended, in AWS's words, from RIE's errors; empty if they do not say."""

    def freeze(self) -> None:
        """Stop every process of the function, as AWS does between invocations."""

    def thaw(self) -> None:
        """Let the processes continue, if they are stopped."""

    async def kill(self) -> None:
        """End every process, in the middle of an invocation, which fails; `stop` is called afterwards."""

    async def stop(self) -> None:
        """End the sandbox and remove its files."""


def exit_reason_in(errors: str) -> str:
    """Return how the runtime has ended, in AWS's words, from RIE's output about its last invocation.

    Fields of a line come in any order: `... [ERROR] (rapid) Invoke failed error=... InvokeID=...`.
    """
    found = _EXIT_REASON.findall(errors)
    return found[-1] if found else ""


@dataclass(frozen=True)
class StackAccess:
    """How the environments of a stack reach its services.

    Attributes:
        addresses: Variables with the addresses of the services.
        secret: The stack's secret, from which credentials are derived.
    """

    addresses: dict[str, str]
    secret: str = field(repr=False)


def lambda_variables(function: Function, stream: str, access: StackAccess) -> dict[str, str]:
    """Return the variables that Lambda itself sets, in the order of AWS's page, followed by the function's own.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html

    Args:
        function: The function.
        stream: Name of its log stream.
        access: The addresses and the secret of the stack.
    """
    return {
        "AWS_DEFAULT_REGION": limits.REGION,
        "AWS_REGION": limits.REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime or 'Image'}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        **credentials(function, stream, access.secret),
        **access.addresses,
        **function.variables,
    }


def debugger_variables(debugger: Debugger, host: str, port: int, folder: Path | None) -> dict[str, str]:
    """Return the variable that `runtime/debugger.py` reads, and removes.

    Args:
        debugger: The debugger.
        host: The address to listen on, inside of the sandbox.
        port: The port to listen on, likewise.
        folder: debugpy's folder, likewise.
    """
    spec = {"kind": debugger.kind, "host": host, "port": port, "folder": str(folder or "")}
    return {SPEC: json.dumps(spec | {"paths": debugger.paths, "token": debugger.token})}


def process_variables(
    function: Function, stream: str, folder: Path, access: StackAccess, python: Path
) -> dict[str, str]:
    """Return a function's environment variables in process mode; on AWS, the image sets the first ones.

    Args:
        function: The function.
        stream: Name of its log stream.
        folder: The environment's folder for temporary files, in the stack's scratch folder.
        access: The addresses and the secret of the stack.
        python: The runtime's interpreter, whose folder comes first on the PATH, as /var/lang/bin does on AWS.
    """
    opt = str(function.code / OPT) if (function.code / OPT).is_dir() else ""
    return {
        "_HANDLER": function.handler,
        "LANG": "en_US.UTF-8",
        "LAMBDA_TASK_ROOT": str(function.code),
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin{opt and f':{opt}/bin'}",
        **({"LD_LIBRARY_PATH": f"{opt}/lib"} if opt else {}),
        "TZ": ":UTC",
        "PYTHONUTF8": "1",
        # Environments in process mode share the file system, so each has its own folder for temporary files.
        "TMPDIR": str(folder),
        "HOME": str(folder),
        **lambda_variables(function, stream, access),
    }
