"""A table of calls that the functions' roles must allow or deny, evaluated against the template's policies.

`python -m harness.deploy.access` prints it.
The roles must allow the calls that the handlers make, and those that Lambda makes on their behalf; `operations_in`
reads the former from the handlers' sources, so that a test finds a call without permission before AWS refuses it.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
from botocore import xform_name

from harness import iam
from harness.aws.stack_session import IsolatedSession
from harness.deploy import policy
from harness.deploy.intrinsics import ACCOUNT, REGION, STACK, Resolver, parse, partition_of
from harness.deploy.model_workers import is_model_worker
from harness.deploy.template import ALIAS, camel, load_template
from harness.errors import HarnessError

COORDINATOR, WORKERS = "linear_ec_1", ("linear_ec_2", "linear_ec_2_nn")
FUNCTIONS = (COORDINATOR, *WORKERS)

# The IAM actions of the operations that handlers use.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
ACTIONS = {
    ("s3", "get_object"): "s3:GetObject",
    ("s3", "put_object"): "s3:PutObject",
    ("s3", "delete_object"): "s3:DeleteObject",
    ("s3", "list_objects_v2"): "s3:ListBucket",
    ("lambda", "invoke"): "lambda:InvokeFunction",
}


@dataclass(frozen=True, slots=True)
class RoleCall:
    """One call by a function, or by Lambda in the function's role, that must be allowed or denied.

    Attributes:
        function: The function whose role is used.
        action: The IAM action.
        resource: The ARN of the resource.
        expected: Whether the call should be allowed.
        why: The purpose of the call, or the harm that it would do.
        context: The condition keys of the request.
        from_code: Whether the handler makes the call, through the VPC's endpoints; otherwise Lambda makes it.
    """

    function: str
    action: str
    resource: str
    expected: bool
    why: str
    context: iam.Context = field(default_factory=dict)
    from_code: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policies' decision about a call.

    Attributes:
        call: The call.
        allowed: The decision.
        by: The statement that decided.
    """

    call: RoleCall
    allowed: bool
    by: str

    @property
    def as_expected(self) -> bool:
        """Whether the decision is the expected one."""
        return self.allowed == self.call.expected


class Deployment:
    """The policies and names of one deployment of a template.

    Args:
        body: The template.
        parameters: Values that differ from the defaults.
        account: The account's ID.
        region: The region.
        stack: The stack's name.
    """

    def __init__(
        self,
        body: str,
        parameters: Mapping[str, str] | None = None,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        stack: str = STACK,
    ) -> None:
        resolver = Resolver(parse(body), parameters or {}, account=account, region=region, stack=stack)
        self._at = f"{region}:{account}"
        groups = [resolver.properties(name)["LogGroupName"] for name in resolver.of_type("AWS::Logs::LogGroup")]
        named = [group.rpartition("/")[2] for group in groups]
        self.workers = (*WORKERS, *(name for name in named if is_model_worker(name)))
        self._partition = partition_of(region)
        self._roles = policy.role_policies(body, parameters or {}, account, region, stack=stack)
        self._endpoints = policy.endpoint_policies(resolver)
        self._bucket_policies = [
            resolver.properties(name)["PolicyDocument"] for name in resolver.of_type("AWS::S3::BucketPolicy")
        ]
        self.bucket = self._arn(f"s3:::{stack}-data-{account}-{region}")
        self.queue = self._arn(f"sqs:{self._at}:{stack}-failures")

    def policies_of(self, function: str) -> list[iam.Policy]:
        """Return the policies of a function's role.

        Raises:
            HarnessError: The template has no role for it.
        """
        role = f"{camel(function)}Role"
        if role not in self._roles:
            raise HarnessError(f"the template has no role {role} for function {function}", remedy="add it")
        return self._roles[role]

    def judge(self, call: RoleCall) -> Verdict:
        """Evaluate a call against the role, the bucket's policy and the endpoint that the call passes."""
        service = call.action.partition(":")[0]
        context = {"aws:SecureTransport": "true", **call.context}
        if call.from_code:
            context["lambda:SourceFunctionArn"] = self.function(call.function)
        decision = iam.decide_on_the_way(
            self.policies_of(call.function),
            self._bucket_policies if service == "s3" else [],
            self._endpoints.get(service) if call.from_code else None,
            call.action,
            call.resource,
            context,
        )
        return Verdict(call, decision.allowed, decision.by)

    def function(self, name: str, qualifier: str = "") -> str:
        """Return a function's ARN."""
        return self._arn(f"lambda:{self._at}:function:{name}") + (f":{qualifier}" if qualifier else "")

    def logs(self, name: str) -> str:
        """Return the ARN of a stream in a function's log group."""
        return self._arn(f"logs:{self._at}:log-group:/aws/lambda/{name}:log-stream:1")

    def interface(self) -> str:
        """Return the ARN of a network interface."""
        return self._arn(f"ec2:{self._at}:network-interface/eni-0123")

    def _arn(self, rest: str) -> str:
        return f"arn:{self._partition}:{rest}"


def judge_all(deployment: Deployment) -> list[Verdict]:
    """Return the table: every call, with the decision of the deployment's policies."""
    functions = (COORDINATOR, *deployment.workers)
    return [deployment.judge(call) for function in functions for call in calls_of(function, deployment)]


def calls_of(function: str, at: Deployment) -> Iterator[RoleCall]:
    """Yield the calls that a function's role must allow, and those that it must deny."""
    yield from _coordinators(at) if function == COORDINATOR else _workers(function, at)
    yield from _everybodys(function, at)


def _coordinators(at: Deployment) -> Iterator[RoleCall]:
    def call(action: str, resource: str, why: str, *, ok: bool = True, **context: str) -> RoleCall:
        return RoleCall(COORDINATOR, action, resource, ok, why, _keys(context))

    yield call("s3:ListBucket", at.bucket, "are all partitions there?", s3_prefix="data/higgs/")
    yield call("s3:GetObject", f"{at.bucket}/data/higgs/manifest.json", "what are the partitions?")
    yield call("s3:ListBucket", at.bucket, "an absent record is a 404, not a 403")
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/job.json", "the run's record")
    yield call("s3:GetObject", f"{at.bucket}/runs/r1/job.json", "has the run started already?")
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/invoked.json", "all workers are invoked")
    yield call("s3:GetObject", f"{at.bucket}/runs/r1/invoked.json", "are all workers invoked?")
    for worker in at.workers:
        yield call("lambda:InvokeFunction", at.function(worker), "start a worker")
        yield call("lambda:InvokeFunction", at.function(worker, ALIAS), "start a worker by its alias")
        yield call("lambda:InvokeFunction", at.function(worker, "7"), "start a worker of one version")
    yield call("lambda:InvokeFunction", at.function(COORDINATOR), "start itself", ok=False)
    yield call("lambda:InvokeFunction", at.function("somebody_elses"), "start another function", ok=False)
    yield call("s3:GetObject", f"{at.bucket}/data/higgs/0_4", "read the rows", ok=False)
    yield call("s3:GetObject", f"{at.bucket}/runs/r1/model.npz", "read a model", ok=False)
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/result.json", "make up a result", ok=False)
    yield call("s3:DeleteObject", f"{at.bucket}/runs/r1/job.json", "remove a record", ok=False)
    yield call("s3:ListBucket", at.bucket, "list results", ok=False, s3_prefix="runs/")


def _workers(function: str, at: Deployment) -> Iterator[RoleCall]:
    def call(action: str, resource: str, why: str, *, ok: bool = True, **context: str) -> RoleCall:
        return RoleCall(function, action, resource, ok, why, _keys(context))

    other = next(name for name in at.workers if name != function)
    yield call("s3:GetObject", f"{at.bucket}/data/higgs/0_4", "its partition")
    yield call("s3:GetObject", f"{at.bucket}/data/higgs/schema.json", "the columns and labels, on rank 0")
    yield call("s3:ListBucket", at.bucket, "list the run's folder", s3_prefix="runs/r1/")
    yield call("s3:ListBucket", at.bucket, "an absent checkpoint is a 404, not a 403")
    yield call("s3:GetObject", f"{at.bucket}/runs/r1/checkpoint/7/shared", "resume from a checkpoint")
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/checkpoint/7.json", "name a checkpoint")
    yield call("s3:DeleteObject", f"{at.bucket}/runs/r1/checkpoint/5/shared", "an old checkpoint")
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/model.npz", "the model")
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/workers/0.1.json", "its own record")
    yield call("s3:GetObject", f"{at.bucket}/data/higgs/manifest.json", "a dead rank's partition")
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/revivals/1.1.1.json", "the record of reviving it")
    yield call("lambda:InvokeFunction", at.function(function), "continue in another invocation, or revive a dead rank")
    yield call("lambda:InvokeFunction", at.function(function, ALIAS), "continue, by its alias")
    yield call("lambda:InvokeFunction", at.function(function, "7"), "continue in its own version")
    yield call("lambda:InvokeFunction", at.function(COORDINATOR), "start a run", ok=False)
    yield call("lambda:InvokeFunction", at.function(other), "start the other worker", ok=False)
    yield call("s3:PutObject", f"{at.bucket}/data/higgs/0_4", "change the data", ok=False)
    yield call("s3:DeleteObject", f"{at.bucket}/data/higgs/0_4", "remove data", ok=False)
    yield call("s3:DeleteObject", f"{at.bucket}/runs/r1/model.npz", "remove a model", ok=False)
    yield call("s3:ListBucket", at.bucket, "list the data", ok=False, s3_prefix="data/")


def _everybodys(function: str, at: Deployment) -> Iterator[RoleCall]:
    def call(action: str, resource: str, why: str, *, ok: bool, from_code: bool = True, **context: str) -> RoleCall:
        return RoleCall(function, action, resource, ok, why, _keys(context), from_code)

    other = next(name for name in FUNCTIONS if name != function)
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield call(action, at.logs(function), "Lambda writes its log", ok=True, from_code=False)
    yield call("sqs:SendMessage", at.queue, "Lambda keeps an event that failed for good", ok=True, from_code=False)
    for action in ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
                   "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"):  # fmt: skip
        yield call(action, at.interface(), "Lambda joins it to the VPC", ok=True, from_code=False)
    for action in ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"):
        yield call(action, "*", "Lambda joins it to the VPC", ok=True, from_code=False)
    yield call("ec2:CreateNetworkInterface", at.interface(), "create interfaces itself", ok=False)
    yield call("ec2:DescribeNetworkInterfaces", "*", "look around in the VPC", ok=False)
    yield call("logs:PutLogEvents", at.logs(other), "write another function's log", ok=False, from_code=False)
    yield call("logs:CreateLogGroup", at.logs(function), "a log group without retention", ok=False, from_code=False)
    yield call("sqs:ReceiveMessage", at.queue, "read failures", ok=False)
    yield call("sqs:PurgeQueue", at.queue, "discard failures", ok=False)
    yield call("s3:ListBucket", at.bucket, "list all of the bucket", ok=False, s3_prefix="")
    yield call("s3:GetObject", f"{at.bucket}-of-others/data/0_4", "another bucket", ok=False)
    yield call("s3:PutObject", f"{at.bucket}/elsewhere", "write outside of runs/", ok=False)
    yield call("s3:PutObject", f"{at.bucket}/runs/r1/job.json", "without TLS", ok=False, aws_SecureTransport="false")
    yield call("s3:DeleteBucket", at.bucket, "remove the bucket", ok=False)
    yield call("s3:PutBucketPolicy", at.bucket, "open the bucket", ok=False)
    yield call("lambda:UpdateFunctionCode", at.function(function), "change its own code", ok=False)
    yield call("iam:PassRole", "*", "pass a role on", ok=False)
    yield call("sts:AssumeRole", "*", "take another role", ok=False)


def _keys(context: Mapping[str, str]) -> dict[str, str]:
    """Return condition keys from keyword arguments: `s3_prefix` becomes `s3:prefix`."""
    return {key.replace("_", ":", 1): value for key, value in context.items()}


def operations_in(folder: Path) -> set[tuple[str, str]]:
    """Return the AWS operations that Python files call, as (service, operation): `("s3", "get_object")`.

    Read the sources: collect the services passed to `boto3.client`, and every call of their methods or paginators.
    """
    trees = [ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    services = {_first_text(call) for call in calls if _called(call) == "client"} - {""}
    used = {_called(call) for call in calls} | {_first_text(call) for call in calls if _called(call) == "get_paginator"}
    session = IsolatedSession()
    return {
        (service, xform_name(operation))
        for service in services
        for operation in session.get_service_model(service).operation_names
        if xform_name(operation) in used
    }


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _first_text(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def text_of(verdicts: list[Verdict]) -> str:
    """Format the table for a terminal: role, call, expected and actual decision."""
    rows = [("role", "call", "on", "expected", "is", "by", "for"), *map(_row, verdicts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    wrong = sum(not verdict.as_expected for verdict in verdicts)
    return "\n".join([*lines, f"{len(verdicts)} calls, {wrong} not as expected"])


def _row(verdict: Verdict) -> tuple[str, ...]:
    call, words = verdict.call, {True: "allowed", False: "denied"}
    on = call.resource.split(":", 5)[-1]
    given = ", ".join(f"{key.split(':')[1]}={value!r}" for key, value in call.context.items())
    mark = "" if verdict.as_expected else " (!)"
    return (
        call.function,
        call.action,
        f"{on} {given}".strip(),
        words[call.expected],
        f"{words[verdict.allowed]}{mark}",
        verdict.by,
        call.why,
    )


if __name__ == "__main__":
    table = judge_all(Deployment(load_template()))
    click.echo(text_of(table))
    raise SystemExit(not all(verdict.as_expected for verdict in table))
