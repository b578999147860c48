"""The sandbox of an execution environment: RIE with one runtime behind it, as processes or in a container."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Protocol
from urllib.parse import urlsplit

from harness.gateway import limits
from harness.gateway.credentials import METADATA_API, METADATA_TOKEN, credentials, environment_name, metadata_token
from harness.gateway.debug_records import Debugger
from harness.gateway.isolation.view import View
from harness.gateway.records import Function
from harness.gateway.runtime.debugger import SPEC

READY_WITHIN_S = 10.0
READY_POLL_S = 0.002
# RIE needs the first one; the others stand for a locale that this machine may lack.
_NOT_ON_AWS = ("AWS_LAMBDA_FUNCTION_TIMEOUT", "PYTHONUTF8", "LC_CTYPE")
# As recorded on AWS: its images of Python 3.12 and later.
_LOCALE_LACKS_SINCE = 12
_XRAY = ("127.0.100.1", "2000")

_EXIT_REASON = re.compile(
    r"\(rapid\) In(?:it|voke) failed.*? error=(Runtime exited .+?)(?: InvokeID=\S*)?$", re.MULTILINE
)


class Sandbox(Protocol):
    """A started RIE.

    Attributes:
        address: `host:port` at which RIE accepts invocations.
        shares_output: Whether RIE's own lines appear in the function's output.
        managed: Whether our own start script runs the runtime: it loads the handler before the first invocation, and
            the gateway ends an invocation whose time is up. Otherwise RIE does both within the invocation.
    """

    address: str
    shares_output: bool
    managed: bool

    @property
    def alive(self) -> bool:
        """Return whether RIE still runs, as far as is known."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the roots of the process trees; none for a container."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the IP addresses; none for processes of this machine."""

    def headers(self, arn: str, trace: str, deadline: float) -> dict[str, str]:
        """Return the headers for RIE that give the runtime an ARN, a trace id and a deadline, if RIE can pass them on.

        Args:
            arn: ARN of the invoked function, with the qualifier.
            trace: X-Ray's trace id.
            deadline: When the invocation's time is up, seconds since the epoch.
        """

    def initialising_headers(self) -> dict[str, str]:
        """Return the headers for RIE of an event that ends as soon as the handler is loaded."""

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
        "AWS_LAMBDA_INITIALIZATION_TYPE": function.initialization,
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        **function.logging.variables(),
        # An address of this machine at which nobody listens.
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": f"{_XRAY[0]}:{_XRAY[1]}",
        "_AWS_XRAY_DAEMON_ADDRESS": _XRAY[0],
        "_AWS_XRAY_DAEMON_PORT": _XRAY[1],
        **credentials(function, stream, access.secret),
        METADATA_API: urlsplit(access.addresses["AWS_ENDPOINT_URL_LAMBDA"]).netloc,
        METADATA_TOKEN: metadata_token(access.secret, environment_name(stream)),
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


def process_variables(function: Function, stream: str, folder: Path, access: StackAccess, view: View) -> dict[str, str]:
    """Return a function's environment variables in process mode; on AWS, the image sets the first ones.

    Args:
        function: The function.
        stream: Name of its log stream.
        folder: The environment's folder for temporary files, in the stack's scratch folder.
        access: The addresses and the secret of the stack.
        view: What the function sees.
    """
    opt, task, runtime = view.opt, view.task, view.runtime
    # The runtime's interpreter comes first, as on AWS.
    bin_ = view.python.rpartition("/")[0]
    lib = f"{bin_.rpartition('/')[0]}/lib"
    return {
        "_HANDLER": function.handler,
        "LANG": "en_US.UTF-8",
        "LAMBDA_TASK_ROOT": task,
        "LAMBDA_RUNTIME_DIR": runtime,
        "PATH": f"{bin_}:/usr/local/bin:/usr/bin/:/bin{opt and f':{opt}/bin'}",
        "LD_LIBRARY_PATH": f"{lib}:/lib64:/usr/lib64:{runtime}:{runtime}/lib:{task}:{task}/lib{opt and f':{opt}/lib'}",
        "PWD": task,
        "SHLVL": "0",
        **({"LC_CTYPE": "C.UTF-8"} if _has_locale(function) else {}),
        "TZ": ":UTC",
        "PYTHONUTF8": "1",
        **({} if view.own_tmp else {"TMPDIR": str(folder)}),
        # Without a home of its own, the function would find this user's.
        **({} if view.own_user else {"HOME": "/tmp" if view.own_tmp else str(folder)}),  # noqa: S108 - its own
        **lambda_variables(function, stream, access),
    }


def metadata_variable(variables: dict[str, str]) -> str:
    """Return the value of the variable from which start scripts restore two others, which RIE replaces.

    Args:
        variables: The environment's variables.
    """
    return f"{variables[METADATA_API]} {variables[METADATA_TOKEN]}"


def _has_locale(function: Function) -> bool:
    """Return whether AWS's image of the runtime lacks the locale of LANG, so that Python chooses another one."""
    return int(function.runtime.rpartition(".")[2] or 0) >= _LOCALE_LACKS_SINCE


def private_variable(function: Function, nonce: str, view: View) -> str:
    """Return the value of the variable that `runtime/bootstrap.py` reads, and removes.

    Args:
        function: The function.
        nonce: What each invocation must carry.
        view: What the function sees.
    """
    hidden = [name for name in _NOT_ON_AWS if name not in function.variables]
    if _has_locale(function):
        hidden = [name for name in hidden if name != "LC_CTYPE"]
    return f"{nonce} {','.join(hidden)} {view.opt}"
