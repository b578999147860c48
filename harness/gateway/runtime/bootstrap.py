"""Start the runtime, as AWS's /var/runtime/bootstrap.py does: `python bootstrap.py CODE HANDLER [OUTPUT]`.

AWS's script imports the runtime, and with it a good part of the standard library, before it puts the function's
folder first in `sys.path`.
So a function may have a `json.py` or `logging.py` of its own: the runtime never sees it.
`python -m awslambdaric` in the function's folder would import these instead of the library's, and fail.

OUTPUT is an inherited descriptor into which the function prints, instead of where RIE prints its own lines.
"""

import os
import sys

# Its value is a word that only the gateway and this process know: RIE itself takes invocations from everybody.
NONCE = "_HARNESS_INVOCATION_NONCE"
# The answer to the others' events.
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
    if sys.path and sys.path[0] == os.path.dirname(script):  # noqa: PTH120 - pathlib is not imported on AWS either
        del sys.path[0]
    from awslambdaric.__main__ import main as serve  # noqa: PLC0415 - not where `multiprocessing` runs this again
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # noqa: PLC0415 - the same

    complete(LambdaRuntimeClient, nonce)
    # RIE makes a URL of its working folder, and would not start in one with `#`, `%` or `?` in its name.
    os.chdir(code)
    sys.path.insert(0, code)
    sys.argv[1:] = [handler]
    serve(sys.argv)


def print_into(output: int) -> None:
    """Make a descriptor the standard output and error."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def complete(client: type, nonce: str) -> None:
    """Make the runtime's client what it is on AWS: what it learns of an invocation, who sends it, and who answers it.

    RIE passes neither the ARN that was called nor a trace id; the gateway sends both in the header for a tenant's id,
    behind the nonce, which a web page or another user of this machine does not know: their events meet no handler.
    The client of a process that a handler has forked would write into its parent's connection, between its words.

    Args:
        client: The runtime's class.
        nonce: What each event has to carry; nothing for events from everybody.
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
