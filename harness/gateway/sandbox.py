"""What an execution environment runs in: RIE with one runtime behind it, as processes or in a container."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Protocol

from harness.gateway import limits
from harness.gateway.credentials import credentials
from harness.gateway.records import Function
from harness.gateway.scratch import programs_in

READY_WITHIN_S = 10.0
READY_POLL_S = 0.002

_EXIT_REASON = re.compile(
    r"\(rapid\) In(?:it|voke) failed.*? error=(Runtime exited .+?)(?: InvokeID=\S*)?$", re.MULTILINE
)


class Sandbox(Protocol):
    """A started RIE.

    Attributes:
        address: `host:port` at which RIE takes invocations.
        shares_output: Whether RIE's own lines are among what the function prints.
    """

    address: str
    shares_output: bool

    @property
    def alive(self) -> bool:
        """Whether RIE still runs, as far as is known."""

    def headers(self, arn: str, trace: str) -> dict[str, str]:
        """Return what makes the runtime see the ARN that was called, and a trace id, if RIE is given it."""

    def read_output(self, take: Callable[[bytes], bool]) -> None:
        """Begin to hand over what is printed, as it comes.

        Args:
            take: Is given each chunk, and returns whether it has room for more; while it has none, what is printed
                waits, and in the end the function that prints.
        """

    def resume_output(self) -> None:
        """Continue, as there is room again."""

    def drain_output(self) -> None:
        """Hand over what has been printed so far without regard to room; what is still on its way comes soon."""

    async def max_memory_mb(self) -> int:
        """The most memory that the function has used so far; 0 when nothing can tell."""

    async def signal(self, number: Signals) -> None:
        """Sends a signal to the handler's process, if there is one."""

    def exit_reason(self) -> str:
        """Return how the runtime has ended, in AWS's words, as RIE's errors say it; nothing when they do not."""

    def freeze(self) -> None:
        """Stop every process of the function, as AWS does between invocations."""

    def thaw(self) -> None:
        """Let them continue, if they are stopped."""

    async def stop(self) -> None:
        """Ends it and removes what it had."""


def exit_reason_in(errors: str) -> str:
    """Return how the runtime has ended, in AWS's words, from what RIE prints about its last invocation.

    Fields of a line come in any order: `... [ERROR] (rapid) Invoke failed error=... InvokeID=...`.
    """
    found = _EXIT_REASON.findall(errors)
    return found[-1] if found else ""


@dataclass(frozen=True)
class StackAccess:
    """What the environments of a stack are given.

    Attributes:
        addresses: Variables with the addresses of its services.
        secret: The stack's; their credentials are derived from it.
    """

    addresses: dict[str, str]
    secret: str = field(repr=False)


def lambda_variables(function: Function, stream: str, access: StackAccess) -> dict[str, str]:
    """What Lambda itself sets in a function's environment, in the order of AWS's page, and the function's own.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html

    Args:
        function: The function.
        stream: Name of its log stream.
        access: What every function sees.
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


def process_variables(function: Function, stream: str, folder: Path, access: StackAccess) -> dict[str, str]:
    """What a function finds in its environment in process mode; on AWS the first ones come from the image.

    Args:
        function: The function.
        stream: Name of its log stream.
        folder: For its temporary files, in the stack's folder for these.
        access: What every function sees.
    """
    return {
        "_HANDLER": function.handler,
        "LANG": "en_US.UTF-8",
        "LAMBDA_TASK_ROOT": str(function.code),
        "PATH": f"{programs_in(folder.parent)}:/usr/local/bin:/usr/bin:/bin",
        "TZ": ":UTC",
        "PYTHONUTF8": "1",
        # Process mode has no file system of its own per environment; temporary files go to a folder of its own.
        "TMPDIR": str(folder),
        "HOME": str(folder),
        **lambda_variables(function, stream, access),
    }
