"""Start the runtime, as AWS's /var/runtime/bootstrap.py does: `python bootstrap.py`.

AWS's script imports the runtime, and with it a large part of the standard library, before it puts the function's
folder first in `sys.path`.
So a function may have its own `json.py` or `logging.py`, which the runtime never imports.
`python -m awslambdaric` in the function's folder would import these instead of the library's, and fail.

The variables `LAMBDA_TASK_ROOT` and `_HANDLER` say what to run, because a wrapper script of the function's own may add
options before the last argument.
"""

from __future__ import annotations  # for Python 3.8

import os
import sys

# What only the gateway and this process know, separated by spaces: the value that each invocation must carry (RIE
# itself accepts invocations from anyone), variables that AWS does not set, separated by commas, and the layers' folder.
PRIVATE = "_HARNESS_ENVIRONMENT"
# The address of the metadata endpoint and the environment's token for it, separated by a space. RIE sets both variables
# to those of an endpoint of its own, which answers `use1-az1` to everybody.
METADATA = "_HARNESS_METADATA"
# The abstract name of a socket that is told to whom the function connects, for a stage (`harness.explore`).
CONNECTIONS = "HARNESS_CONNECTIONS"
# The gateway's first event has this behind that value: it ends when the handler is loaded, and never reaches it.
INITIALISE = "init"
# Marks before a line end: the line end is within a log event, and the event has no line end.
LINE_WITHIN, NO_LINE_END = "\x02\r", "\x03\r"
# The fields of the gateway's header, after the value.
_FIELDS = 3
# The answer to anyone else's event.
_FOREIGN = (
    '{"errorType": "AccessDeniedException", "errorMessage": "this port is the gateway\'s: call the Lambda service",'
    ' "stackTrace": []}'
)


def main() -> None:
    """Serve a handler until the process ends."""
    nonce, _, rest = os.environ.pop(PRIVATE, "").partition(" ")
    hidden, _, opt = rest.partition(" ")
    for name in filter(None, hidden.split(",")):
        os.environ.pop(name, None)
    endpoint, _, token = os.environ.pop(METADATA, "").partition(" ")
    if token:
        os.environ.update(AWS_LAMBDA_METADATA_API=endpoint, AWS_LAMBDA_METADATA_TOKEN=token)
    if CONNECTIONS in os.environ:
        tell_connections(os.environ.pop(CONNECTIONS))
    script = sys.argv[0]
    older = sys.version_info < (3, 9)
    if older:
        from older_client import (  # type: ignore[import-not-found]  # noqa: PLC0415 - while its folder is in `sys.path`
            complete_older,
        )
    if sys.path and sys.path[0] == os.path.dirname(script):  # noqa: PTH120 - as on AWS, without pathlib
        del sys.path[0]
    from awslambdaric import bootstrap  # noqa: PLC0415 - not when `multiprocessing` runs this again
    from awslambdaric.__main__ import main as serve  # noqa: PLC0415 - the same
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # noqa: PLC0415 - the same

    if older:
        from awslambdaric.lambda_runtime_client import InvocationRequest  # noqa: PLC0415 - the same

        complete_older(LambdaRuntimeClient, InvocationRequest)
    complete(LambdaRuntimeClient, nonce)
    if nonce:
        log_whole_events(bootstrap.StandardLogSink)
    code = os.environ["LAMBDA_TASK_ROOT"]
    # RIE turns its working folder into a URL, and would not start in one with `#`, `%` or `?` in its name.
    os.chdir(code)
    sys.path[:0] = [code, *layers_in(opt)]
    # For the function's own children.
    os.environ.setdefault("PYTHONPATH", os.path.dirname(script))  # noqa: PTH120 - as above
    sys.argv[1:] = [os.environ["_HANDLER"]]
    serve(sys.argv)


def layers_in(opt: str) -> list[str]:
    """Return the folders of a function's layers that may have modules, in AWS's order."""
    if not opt:
        return []
    version = f"python3.{sys.version_info[1]}"
    return [f"{opt}/python/lib/{version}/site-packages", f"{opt}/python"]


def tell_connections(name: str) -> None:
    """Tell a socket each host that this process looks up or connects to, once.

    Python sees what goes through its own `socket` module; a library in C may connect by itself.
    https://docs.python.org/3/library/audit_events.html

    Args:
        name: The abstract name of the socket.
    """
    import _socket  # noqa: PLC0415 - only a stage needs it
    import contextlib  # noqa: PLC0415 - the same

    told = set()
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            address = (arguments[0], arguments[1] if len(arguments) > 1 else 0)
        else:
            return
        # A path is a process of this machine; a host may be missing, or in bytes.
        if not isinstance(address, tuple) or not isinstance(address[0], str) or address[:2] in told:
            return
        told.add(address[:2])
        with contextlib.suppress(OSError):
            listener.sendto("{}:{}".format(*address).encode(), "\0" + name)

    sys.addaudithook(look)


def log_whole_events(sink: type) -> None:
    """Have the runtime mark the lines of one message, which AWS logs as one event, whatever its number of lines.

    Args:
        sink: The runtime's class, whose messages AWS receives in frames.
    """

    def log(_self: object, message: str, frame_type: object = None) -> None:
        del frame_type  # a level, which a message in JSON has, too
        ended = message.endswith("\n")
        text = (message[:-1] if ended else message).replace("\n", LINE_WITHIN)
        sys.stdout.write(text + ("" if ended else NO_LINE_END) + "\n")

    def log_error(self: object, lines: list[str]) -> None:
        log(self, "\n".join(lines))

    sink.log, sink.log_error = log, log_error  # type: ignore[attr-defined]  # the runtime has no types


def complete(client: type, nonce: str) -> None:
    """Give the runtime's client what it has on AWS: each invocation's ARN and trace, a known sender, one answerer.

    RIE passes on neither the invoked ARN nor a trace id, and counts the initialisation as part of the first invocation.
    The gateway sends the deadline, the ARN and the trace in the header for a tenant's id, after a nonce that no web
    page or other user of this machine knows: their events never reach the handler.
    A process forked by a handler would write into its parent's connection, between the parent's messages.

    Args:
        client: The runtime's class.
        nonce: The nonce that each event must carry; empty to accept every event.
    """
    own = os.getpid()
    wait = client.wait_next_invocation  # type: ignore[attr-defined]  # the runtime has no types
    refuse = client.post_invocation_error  # type: ignore[attr-defined]  # the same
    answer = client.post_invocation_result  # type: ignore[attr-defined]  # the same

    def wait_next_invocation(self: object) -> object:
        while True:
            request = wait(self)
            given, *rest = (request.tenant_id or "").split(" ")
            if given != nonce and nonce:
                refuse(self, request.invoke_id, _FOREIGN, "{}", request.invocation_id)
            elif rest == [INITIALISE]:
                answer(self, request.invoke_id, "null", invocation_id=request.invocation_id)
            else:
                break
        if len(rest) == _FIELDS:
            deadline, request.invoked_function_arn, request.x_amzn_trace_id = rest
            request.deadline_time_in_ms = int(deadline)
            request.tenant_id = None
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
