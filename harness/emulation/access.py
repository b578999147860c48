"""Enforces functions' roles: their calls to S3 and other services are evaluated against IAM, as on AWS.

    a function's call   ->  role, the bucket's policy, the policy of its VPC's endpoint  ->  moto, or 403
    the gateway's question whether it may invoke a function  ->  the same

The session token identifies the caller. Outside of a VPC, a role that IAM does not know restricts nothing, since only
deployments create roles; in a VPC, the role was deleted and allows nothing.
Calls for objects and listings are evaluated exactly. Calls to services other than S3 and Lambda count as calls on `*`.
"""

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.s3.responses import ACTION_MAP

from harness.emulation.delete_request import keys_to_delete
from harness.emulation.faults import Application, Environ, StartResponse, action_of, refuse, signer_of
from harness.errors import HarnessError
from harness.faults.calls import CallFault
from harness.gateway.credentials import Caller, caller_of
from harness.gateway.permissions import ROUTE, AccessDecision, Question
from harness.guard import signed_by, wsgi_header
from harness.iam import NO_STATEMENT, Context, Decision, Policy, decide_on_the_way

_PARTITION = "aws"
# The services that moto and IAM name differently.
_ACTIONS = {"HeadBucket": "ListBucket"}


def with_access(application: Application) -> Application:
    """Return an application before moto that refuses calls which a function's role does not allow."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == ROUTE and environ["REQUEST_METHOD"] == "POST":
            return _answer_question(environ, start_response)
        caller = caller_of(_token(environ))
        policies = _identity_policies(caller) if caller else None
        if caller is None or policies is None:
            return application(environ, start_response)
        # A call without a signed header has a signed URL, which only S3's calls have here.
        service = signer_of(environ)[1] or "s3"
        calls = _s3_calls(environ) if service == "s3" else [(action_of(environ), "*", {})]
        for action, resource, context in calls:
            decision = _decided(caller, policies, f"{service}:{action}", resource, context)
            if not decision.allowed:
                code = "AccessDenied" if service == "s3" else "AccessDeniedException"
                message = _message(caller, f"{service}:{action}", resource, decision)
                return refuse(start_response, CallFault(code, message=message, status=403), service, environ)
        return application(environ, start_response)

    return answer


def _token(environ: Environ) -> str:
    """Return the caller's session token, as the guard has seen it."""
    return signed_by(lambda name: wsgi_header(environ, name), environ.get("QUERY_STRING", "")).token


def _answer_question(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        question = msgspec.json.decode(body, type=Question)
    except (ValueError, RecursionError) as error:
        message = str(error).encode()
        start_response("400 Bad Request", [("Content-Length", str(len(message)))])
        return [message]
    caller = caller_of(question.token)
    policies = _identity_policies(caller) if caller else None
    verdict = AccessDecision(allowed=True, message="")
    if caller is not None and policies is not None:
        decision = _decided(caller, policies, question.action, question.resource, {})
        refusal = _message(caller, question.action, question.resource, decision)
        verdict = AccessDecision(decision.allowed, refusal, explicit=decision.by != NO_STATEMENT)
    content = msgspec.json.encode(verdict)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


def _decided(
    caller: Caller, policies: list[Policy], action: str, resource: str, context: Mapping[str, str]
) -> Decision:
    """Return the decision; a policy that cannot be evaluated refuses the call, with the reason."""
    try:
        return _decide(caller, policies, action, resource, context)
    except HarnessError as error:
        return Decision(allowed=False, by=f"{error.what}: {error.remedy}")


def _decide(caller: Caller, policies: list[Policy], action: str, resource: str, context: Mapping[str, str]) -> Decision:
    service = action.partition(":")[0]
    # Every connection to this emulation counts as encrypted.
    known: Context = {"aws:SecureTransport": "true", "lambda:SourceFunctionArn": caller.function, **context}
    bucket, _, key = resource.rpartition(":")[2].partition("/")
    of_bucket = _bucket_policies(caller, bucket) if service == "s3" else []
    endpoint = _endpoint_policies(caller, service)
    if endpoint == []:
        return Decision(allowed=False, by=f"{caller.vpc} has no endpoint for {service}: on AWS it would wait in vain")
    decision = decide_on_the_way(policies, of_bucket, endpoint, action, resource, known)
    if decision.allowed and action == "s3:GetObject" and not _exists(caller, bucket, key):
        # S3 reveals that an object is missing only to callers that may list the bucket.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        whole = resource.removesuffix(f"/{key}")
        listing = decide_on_the_way(policies, of_bucket, endpoint, "s3:ListBucket", whole, known)
        decision = decision if listing.allowed else Decision(allowed=False, by="absent, and the bucket not listable")
    return decision


def _message(caller: Caller, action: str, resource: str, decision: Decision) -> str:
    """Return the refusal in AWS's words.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    """
    why = (
        f"because no identity-based policy allows the {action} action"
        if decision.by == NO_STATEMENT
        else f"because of: {decision.by}"
    )
    return f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource} {why}"


def _s3_calls(environ: Environ) -> list[tuple[str, str, dict[str, str]]]:
    """Return action, ARN and condition keys of everything that an S3 call with the path `/bucket/key` does."""
    # WSGI decodes a path's bytes as Latin-1: https://peps.python.org/pep-3333/#unicode-issues
    path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket:
        return [("ListAllMyBuckets", "*", {})]
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    named = ACTION_MAP["KEY" if key else "BUCKET"].get(environ["REQUEST_METHOD"], {})
    action = next((action for part, action in named.items() if part in query), named.get("DEFAULT", ""))
    if environ["REQUEST_METHOD"] == "POST" and not key:
        return [("DeleteObject", _arn(bucket, each), {}) for each in keys_to_delete(_body(environ))]
    context = {"s3:prefix": query["prefix"][0]} if "prefix" in query and not key else {}
    calls = [(_ACTIONS.get(action, action), _arn(bucket, key), context)]
    source = unquote(environ.get("HTTP_X_AMZ_COPY_SOURCE", "")).partition("?")[0].removeprefix("/")
    return [*calls, ("GetObject", _arn(*source.split("/", 1)), {})] if source else calls


def _body(environ: Environ) -> bytes:
    """Return a request's body, and keep it readable."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _arn(bucket: str, key: str = "") -> str:
    return f"arn:{_PARTITION}:s3:::{bucket}" + (f"/{key}" if key else "")


def _identity_policies(caller: Caller) -> list[Policy] | None:
    """Return the policies of a caller's role; None if nothing restricts it."""
    roles = iam_backends[_account(caller.role)][_PARTITION].roles.values()
    role = next((role for role in roles if role.arn == caller.role), None)
    if role is None:
        return [] if caller.vpc else None
    attached = [
        version.document
        for policy in role.managed_policies.values()
        for version in policy.versions
        if version.is_default
    ]
    return [json.loads(document) for document in (*role.policies.values(), *attached)]


def _bucket_policies(caller: Caller, name: str) -> list[Policy]:
    bucket = s3_backends[_account(caller.role)][_PARTITION].buckets.get(name)
    return [json.loads(bucket.policy)] if bucket is not None and bucket.policy else []


def _endpoint_policies(caller: Caller, service: str) -> list[Policy] | None:
    """Return the policies of the endpoint in the caller's VPC; None without a VPC, none without an endpoint."""
    if not caller.vpc:
        return None
    region = caller.function.split(":")[3]
    endpoints: Iterable[Any] = ec2_backends[_account(caller.role)][region].vpc_end_points.values()
    return [
        json.loads(endpoint.policy_document)
        for endpoint in endpoints
        if endpoint.vpc_id == caller.vpc
        and endpoint.state == "available"
        and endpoint.service_name.rpartition(".")[2] == service
    ]


def _exists(caller: Caller, bucket: str, key: str) -> bool:
    found = s3_backends[_account(caller.role)][_PARTITION].buckets.get(bucket)
    return found is None or key in found.keys


def _account(arn: str) -> str:
    return arn.split(":")[4]
