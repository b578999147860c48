"""One function behind one RIE in the foreground, straight from its source folder: for curl and for a debugger.

RIE answers at `/2015-03-31/functions/function/invocations`, as it does in a container image.
"""

import os
import socket
import subprocess
from pathlib import Path

from harness.errors import HarnessError
from harness.gateway.environment import RIE_PATH
from harness.gateway.rie_process import rie_command
from harness.processes import reserved_ports
from harness.settings import FunctionSettings
from harness.stack.state import StackState, client_environment

__all__ = ["RIE_PATH", "serve"]


def serve(name: str, function: FunctionSettings, *, rie: Path, stack: StackState, port: int) -> int:
    """Runs RIE until it is interrupted.

    Args:
        name: The function's name.
        function: What it runs.
        rie: The RIE binary.
        stack: Where its services listen.
        port: Port on the loopback interface for invocations.

    Returns:
        RIE's exit status.

    Raises:
        HarnessError: The port is taken.
    """
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HarnessError(
                f"port {port} is taken: {error.strerror}", remedy="choose another with --port"
            ) from error
    variables = {
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        # The folder that holds an included library is what the package's root is on AWS.
        "PYTHONPATH": os.pathsep.join(str(folder.parent) for folder in function.include),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
        **client_environment(stack),
        **function.environment,
    }
    with (
        reserved_ports(1) as (runtime_api,),
        subprocess.Popen(
            rie_command(rie, port, runtime_api, function.handler), cwd=function.source, env=variables
        ) as process,
    ):
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return 0
