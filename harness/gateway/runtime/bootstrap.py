"""Start the runtime, as AWS's /var/runtime/bootstrap.py does: `python bootstrap.py CODE HANDLER [OUTPUT]`.

AWS's script imports the runtime, and with it a large part of the standard library, before it puts the function's
folder first in `sys.path`.
So a function may have its own `json.py` or `logging.py`, which the runtime never imports.
`python -m awslambdaric` in the function's folder would import these instead of the library's, and fail.

OUTPUT is an inherited descriptor that the function prints to, instead of the stream of RIE's own lines.
"""

import os
import sys

# Only the gateway and this process know its value: RIE itself accepts invocations from anyone.
NONCE = "_HARNESS_INVOCATION_NONCE"
# The answer to anyone else's event.
_FOREIGN = (
    '{"errorType": "AccessDeniedException", "errorMessage": "this port is the gateway\'s: call the Lambda service",'
    ' "stackTrace": []}'
)


def main() -> None:
    """Serve a handler until the process ends."""
    script, code, handler, *output = sys.argv
    nonce = os.environ.pop(NONCE, "")
    if output:
        print_into(int(output[0]))
        del sys.orig_argv[-1]
    if sys.path and sys.path[0] == os.path.dirname(script):  # noqa: PTH120 - as on AWS, without pathlib
        del sys.path[0]
    from awslambdaric.__main__ import main as serve  # noqa: PLC0415 - not when `multiprocessing` runs this again
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # noqa: PLC0415 - the same

    complete(LambdaRuntimeClient, nonce)
    # RIE turns its working folder into a URL, and would not start in one with `#`, `%` or `?` in its name.
    os.chdir(code)
    sys.path[:0] = [code, *layers_in(code)]
    sys.argv[1:] = [handler]
    serve(sys.argv)


def layers_in(code: str) -> list[str]:
    """Return the folders of a function's layers that have modules, in AWS's order."""
    python = os.path.join(code, ".lambda-opt", "python")  # noqa: PTH118 - as on AWS, without pathlib
    version = f"python3.{sys.version_info[1]}"
    folders = [os.path.join(python, "lib", version, "site-packages"), python]  # noqa: PTH118 - the same
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112 - the same


def print_into(output: int) -> None:
    """Make a descriptor the standard output and error."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def complete(client: type, nonce: str) -> None:
    """Give the runtime's client what it has on AWS: each invocation's ARN and trace, a known sender, one answerer.

    RIE passes on neither the invoked ARN nor a trace id. The gateway sends both in the header for a tenant's id, after
    a nonce that no web page or other user of this machine knows: their events never reach the handler.
    A process forked by a handler would write into its parent's connection, between the parent's messages.

    Args:
        client: The runtime's class.
        nonce: The nonce that each event must carry; empty to accept every event.
    """
    own = os.getpid()
    wait = client.wait_next_invocation  # type: ignore[attr-defined]  # the runtime has no types
    refuse = client.post_invocation_error  # type: ignore[attr-defined]  # the same

    def wait_next_invocation(self: object) -> object:
        while True:
            request = wait(self)
            given, _, rest = (request.tenant_id or "").partition(" ")
            if given == nonce or not nonce:
                break
            refuse(self, request.invoke_id, _FOREIGN, "{}", request.invocation_id)
        arn, _, trace = rest.partition(" ")
        if trace:
            request.invoked_function_arn, request.x_amzn_trace_id, request.tenant_id = arn, trace, None
        return request

    def post_only_here(name: str) -> None:
        post = getattr(client, name)

        def post_here(*arguments: object) -> None:
            if os.getpid() != own:
                raise RuntimeError("Failed to post invocation response: a forked process has no invocation to answer")
            post(*arguments)

        setattr(client, name, post_here)

    client.wait_next_invocation = wait_next_invocation  # type: ignore[attr-defined]
    post_only_here("post_invocation_result")
    post_only_here("post_invocation_error")


if __name__ == "__main__":
    main()
