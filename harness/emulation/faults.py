"""Faults of a rehearsal: calls to AWS's APIs that fail, and resources of a stack that cannot be created.

    PUT /_harness/faults   {"calls": [{"service": "ecr", "action": "*", "error": "ThrottlingException", "times": 2}],
                            "resources": {"CacheCluster": "There is no capacity for this node type."}}

Each PUT replaces the previous plan; an empty object ends all faults.
The server accepts connections from this machine only, and so does this route.
"""

import io
import threading
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
# Services whose clients expect XML; the others use JSON.
_QUERY = {"autoscaling", "cloudformation", "elasticache", "iam", "monitoring", "rds", "ses", "sns", "sqs", "sts"}
# The action is not looked up in larger forms.
_LONGEST_FORM_BYTES = 1 << 20

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All faults of the emulation.

    Attributes:
        calls: Calls that fail.
        resources: The reason why a resource of a stack cannot be created or changed, by its logical ID.
        undeletable: The reason why a resource cannot be deleted, by its logical ID.
        resource_s: How long each step of a stack's operation takes, seconds.
        deletion_s: How long each deletion of a resource takes, seconds; the next plan ends a wait.
    """

    calls: tuple[CallFault, ...] = ()
    resources: dict[str, str] = {}
    undeletable: dict[str, str] = {}
    resource_s: float = 0.0
    deletion_s: float = 0.0


class Faults:
    """The plan in force."""

    def __init__(self) -> None:
        self._plan = FaultPlan()
        self._calls = CallFaults()
        self._changed = threading.Condition()

    def put(self, plan: FaultPlan) -> None:
        """Replace the plan."""
        with self._changed:
            self._plan = plan
            self._changed.notify_all()
        self._calls.put(plan.calls)

    def failure_of(self, verb: str, logical_id: str) -> str | None:
        """Return the reason why a step on a resource must fail, or None."""
        causes = self._plan.undeletable if verb == "DELETE" else self._plan.resources
        return causes.get(logical_id)

    def take_time(self, verb: str) -> None:
        """Wait for the planned duration of a step; a deletion also waits for less if the plan is replaced."""
        if self._plan.resource_s:
            time.sleep(self._plan.resource_s)
        plan = self._plan
        if verb == "DELETE" and plan.deletion_s:
            with self._changed:
                self._changed.wait_for(lambda: self._plan is not plan, plan.deletion_s)

    def take(self, service: str, action: Callable[[], str]) -> CallFault | None:
        """Return the fault of a call, or None."""
        return self._calls.take(service, action)


FAULTS = Faults()


def with_faults(application: Application, faults: Faults = FAULTS) -> Application:
    """Return an application before moto that takes plans and answers the calls that must fail."""

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
    # A web page must not be able to break a rehearsal; browsers send its origin.
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
    """Return a call's operation without consuming its body; empty if only the path determines it."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return str(target.rpartition(".")[2])
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded") or (
        length > _LONGEST_FORM_BYTES
    ):
        return ""
    body = environ["wsgi.input"].read(length)
    # moto's dispatcher reads the body in the same way.
    environ["wsgi.input"] = io.BytesIO(body)
    form: dict[str, list[str]] = parse_qs(body.decode(errors="replace"))
    return form.get("Action", [""])[0]


def signer_of(environ: Environ) -> tuple[str, str]:
    """Return the access key that signed a call, and the service it was signed for; both empty for an unsigned call.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    signed = environ.get("HTTP_AUTHORIZATION", "")
    credential = signed.partition("Credential=")[2].partition(",")[0].split("/")
    return (credential[0], credential[3]) if len(credential) == 5 else ("", "")


def refuse(start_response: StartResponse, fault: CallFault, service: str, environ: Environ) -> Iterable[bytes]:
    """Answer a call with an error in the format of its service."""
    kind, body = error_content(service, fault.error, fault.message, has_json_target="HTTP_X_AMZ_TARGET" in environ)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length:
        # An unread body would be taken for the connection's next request.
        environ["wsgi.input"].read(length)
    content = b"" if environ["REQUEST_METHOD"] == "HEAD" else body
    phrase = HTTPStatus(fault.status).phrase if fault.status in set(HTTPStatus) else fault.error
    headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
    start_response(f"{fault.status} {phrase}", headers)
    return [content]


def error_content(service: str, code: str, message: str, *, has_json_target: bool) -> tuple[str, bytes]:
    """Return the content type and the body of an error in the format of a service.

    Args:
        service: The service's signing name.
        code: AWS's error code.
        message: The message.
        has_json_target: Whether the call named its operation in a header, so that its client expects JSON.
    """
    kind = "application/xml"
    if not has_json_target:
        message = escape(message)
    if service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    elif service == "ec2":
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
    elif service in _QUERY and not has_json_target:
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{inner}</ErrorResponse>"
    else:
        kind, body = "application/x-amz-json-1.1", msgspec.json.encode({"__type": code, "message": message}).decode()
    return kind, body.encode()
