"""Run the handler, as AWS's runtime does: ask Lambda, or its emulator, for one event after the other.

The runtime is imported before the function's folder comes first in `sys.path`, so that a function may have a `json.py`
or `logging.py` of its own. Layers come after the function, and the runtime's packages, beside this file, after both.
"""

import os
import sys

from awslambdaric.__main__ import main
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient


def take_calls(client: type) -> None:
    """Let the runtime's client take the invoked ARN and a trace from the header for a tenant's id.

    The emulator passes on neither, and its gateway sends both there.
    """
    wait = client.wait_next_invocation  # type: ignore[attr-defined]  # the runtime has no types

    def wait_next_invocation(self: object) -> object:
        request = wait(self)
        arn, _, trace = (request.tenant_id or "").partition(" ")
        if trace:
            request.invoked_function_arn, request.x_amzn_trace_id, request.tenant_id = arn, trace, None
        return request

    client.wait_next_invocation = wait_next_invocation  # type: ignore[attr-defined]  # the same


# The gateway asks images with the label `lambda-harness.takes-calls`; on AWS nobody does.
if os.environ.pop("_HARNESS_CALLS", ""):
    take_calls(LambdaRuntimeClient)
# The emulator has set both variables to those of an endpoint of its own, which answers `use1-az1` to everybody.
endpoint, _, token = os.environ.pop("_HARNESS_METADATA", "").partition(" ")
if token:
    os.environ.update(AWS_LAMBDA_METADATA_API=endpoint, AWS_LAMBDA_METADATA_TOKEN=token)
code = os.environ["LAMBDA_TASK_ROOT"]
version = f"python3.{sys.version_info[1]}"
sys.path[:0] = [code, f"/opt/python/lib/{version}/site-packages", "/opt/python"]
sys.argv[1:] = [os.environ["_HANDLER"]]
os.chdir(code)
main(sys.argv)
