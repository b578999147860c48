"""What goes wrong in a rehearsal: calls of AWS's APIs that fail, resources of a stack that cannot be made.

    PUT /_harness/faults   {"calls": [{"service": "ecr", "action": "*", "error": "ThrottlingException", "times": 2}],
                            "resources": {"CacheCluster": "There is no capacity for this node type."}}

Each PUT replaces what was there before; an empty object ends all faults.
The server listens to this machine alone, and so does this route.
"""

import io
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import msgspec

from harness.emulation.resources.base import access_key
from harness.faults.calls import CallFault, CallFaults

ROUTE = "/_harness/faults"
# Services that answer in XML, as their clients expect it; the others answer in JSON.
_QUERY = {"cloudformation", "elasticache", "iam", "sts"}
# The largest form whose action is looked for.
_LONGEST_FORM_BYTES = 1 << 20

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All faults at a time.

    Attributes:
        calls: Calls that fail.
        resources: Why a resource of a stack cannot be made or changed, by its logical id.
        undeletable: Why one cannot be deleted.
        resource_s: How long each step of a stack's operation takes, seconds.
    """

    calls: tuple[CallFault, ...] = ()
    resources: dict[str, str] = {}
    undeletable: dict[str, str] = {}
    resource_s: float = 0.0


class Faults:
    """The plan in force."""

    def __init__(self) -> None:
        self._plan = FaultPlan()
        self._calls = CallFaults()

    def put(self, plan: FaultPlan) -> None:
        """Replaces the plan."""
        self._plan = plan
        self._calls.put(plan.calls)

    def failure_of(self, verb: str, logical_id: str) -> str | None:
        """Why a step on a resource is to fail; None when it is not."""
        causes = self._plan.undeletable if verb == "DELETE" else self._plan.resources
        return causes.get(logical_id)

    def take_time(self) -> None:
        """Lasts as long as a step of an operation is to last."""
        if self._plan.resource_s:
            time.sleep(self._plan.resource_s)

    def take(self, service: str, action: Callable[[], str]) -> CallFault | None:
        """The fault that hits a call; None when there is none."""
        return self._calls.take(service, action)


FAULTS = Faults()


def with_faults(application: Application, faults: Faults = FAULTS) -> Application:
    """Stands before moto: takes plans, and answers the calls that are to fail."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == ROUTE:
            return _take_plan(environ, start_response, faults)
        key, service = signer_of(environ)
        if service and key != access_key():
            fault = faults.take(service, lambda: action_of(environ))
            if fault is not None:
                return refuse(start_response, fault, service, environ)
        return application(environ, start_response)

    return answer


def _take_plan(environ: Environ, start_response: StartResponse, faults: Faults) -> Iterable[bytes]:
    # A page in a browser sends its origin, and must not be able to break a rehearsal.
    if environ["REQUEST_METHOD"] != "PUT" or "HTTP_ORIGIN" in environ:
        start_response("403 Forbidden", [("Content-Length", "0")])
        return [b""]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        faults.put(msgspec.json.decode(body or b"{}", type=FaultPlan))
    except (ValueError, RecursionError) as error:
        message = str(error).encode()
        start_response("400 Bad Request", [("Content-Length", str(len(message)))])
        return [message]
    start_response("204 No Content", [])
    return [b""]


def action_of(environ: Environ) -> str:
    """The operation of a call, without using up its body; empty where only the path would tell."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return str(target.rpartition(".")[2])
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded") or (
        length > _LONGEST_FORM_BYTES
    ):
        return ""
    body = environ["wsgi.input"].read(length)
    # As moto's dispatcher does it, which reads the body, too.
    environ["wsgi.input"] = io.BytesIO(body)
    form: dict[str, list[str]] = parse_qs(body.decode(errors="replace"))
    return form.get("Action", [""])[0]


def signer_of(environ: Environ) -> tuple[str, str]:
    """By which access key a call is signed, and for which service; both empty for one that is not signed.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    signed = environ.get("HTTP_AUTHORIZATION", "")
    credential = signed.partition("Credential=")[2].partition(",")[0].split("/")
    return (credential[0], credential[3]) if len(credential) == 5 else ("", "")


def refuse(start_response: StartResponse, fault: CallFault, service: str, environ: Environ) -> Iterable[bytes]:
    """Answers a call with an error, in the form in which its service has them."""
    code, message = fault.error, fault.message
    json_target = "HTTP_X_AMZ_TARGET" in environ
    kind = "application/xml"
    if not json_target:
        message = escape(message)
    if service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    elif service == "ec2":
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
    elif service in _QUERY and not json_target:
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{inner}</ErrorResponse>"
    else:
        kind, body = "application/x-amz-json-1.1", msgspec.json.encode({"__type": code, "message": message}).decode()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length:
        # Unread, it would be taken for the connection's next request.
        environ["wsgi.input"].read(length)
    content = b"" if environ["REQUEST_METHOD"] == "HEAD" else body.encode()
    phrase = HTTPStatus(fault.status).phrase if fault.status in set(HTTPStatus) else code
    headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
    start_response(f"{fault.status} {phrase}", headers)
    return [content]
