"""Who may call what: IAM's evaluation, the roles of the template, and the deployer's own policy."""

import copy
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from harness.deploy.access import (
    ACTIONS,
    COORDINATOR,
    FUNCTIONS,
    Deployment,
    calls_of,
    judge_all,
    operations_in,
    text_of,
)
from harness.deploy.calibration_function import CALIBRATION_FUNCTION
from harness.deploy.policy import role_policies
from harness.deploy.template import load_template
from harness.errors import HarnessError
from harness.iam import NO_STATEMENT, Decision, actions_allowed, decide

ROOT = Path(__file__).parents[2]
BODY = load_template()
DEPLOYMENT = Deployment(BODY)
CALLS = [call for function in FUNCTIONS for call in calls_of(function, DEPLOYMENT)]


def policy(**statement: Any) -> list[dict[str, Any]]:
    """One policy of one statement that allows on all resources, unless told otherwise."""
    return [{"Version": "2012-10-17", "Statement": [{"Sid": "It", "Effect": "Allow", "Resource": "*", **statement}]}]


class TestEvaluation:
    """As IAM documents it."""

    def test_nothing_is_allowed_unless_something_allows_it(self):
        """No statement is a denial."""
        assert decide([], "s3:GetObject", "arn:aws:s3:::b/k") == Decision(allowed=False, by=NO_STATEMENT)

    def test_a_denial_counts_whatever_else_allows(self):
        """The order of statements does not matter."""
        policies = [*policy(Action="s3:*"), *policy(Sid="No", Effect="Deny", Action="s3:Delete*")]

        assert decide(policies, "s3:DeleteObject", "arn:aws:s3:::b/k") == Decision(allowed=False, by="No")
        assert decide(policies, "s3:GetObject", "arn:aws:s3:::b/k") == Decision(allowed=True, by="It")

    @pytest.mark.parametrize(
        ("statement", "action", "resource", "allowed"),
        [
            ({"Action": "s3:getobject"}, "s3:GetObject", "arn:aws:s3:::b/k", True),
            ({"Action": ["s3:Put*", "s3:Get?bject"]}, "s3:GetObject", "arn:aws:s3:::b/k", True),
            ({"Action": "s3:Get"}, "s3:GetObject", "arn:aws:s3:::b/k", False),
            ({"NotAction": "iam:*"}, "s3:GetObject", "arn:aws:s3:::b/k", True),
            ({"NotAction": "iam:*"}, "iam:PassRole", "*", False),
            ({"Action": "*", "Resource": "arn:aws:s3:::b/runs/*"}, "s3:GetObject", "arn:aws:s3:::b/runs/a/b", True),
            ({"Action": "*", "Resource": "arn:aws:s3:::b/runs/*"}, "s3:GetObject", "arn:aws:s3:::b/data/a", False),
            ({"Action": "*", "Resource": "arn:aws:s3:::B/*"}, "s3:GetObject", "arn:aws:s3:::b/k", False),
            ({"Action": "*", "Resource": "arn:aws:s3:::b/*"}, "s3:ListBucket", "arn:aws:s3:::b", False),
            ({"Action": "*", "Resource": "arn:aws:l:*:1:function:f"}, "x:Y", "arn:aws:l:e:2:function:f", False),
            ({"Action": "*", "Resource": "arn:aws:l:e:1:function:f"}, "x:Y", "arn:aws:l:e:1:function:f:live", False),
            ({"Action": "*", "Resource": "arn:aws:l:e:1:function:f:*"}, "x:Y", "arn:aws:l:e:1:function:f:live", True),
        ],
    )  # fmt: skip
    def test_actions_take_any_case_and_resources_are_compared_part_by_part(self, statement, action, resource, allowed):
        """A `*` in a resource does not reach beyond its part of the ARN."""
        if "NotAction" not in statement:
            statement = {"Resource": "*", **statement}

        assert decide(policy(**statement), action, resource).allowed is allowed

    @pytest.mark.parametrize(
        ("condition", "context", "allowed"),
        [
            ({"StringEquals": {"k": "a"}}, {"k": "a"}, True),
            ({"StringEquals": {"K": ["b", "a"]}}, {"k": "a"}, True),
            ({"StringEquals": {"k": "a"}}, {"k": "A"}, False),
            ({"StringEquals": {"k": "a"}}, {}, False),
            ({"StringEqualsIfExists": {"k": "a"}}, {}, True),
            ({"StringEqualsIfExists": {"k": "a"}}, {"k": "b"}, False),
            ({"StringNotEquals": {"k": "a"}}, {}, True),
            ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "b"}, False),
            ({"StringLike": {"k": "data/*"}}, {"k": "data/higgs/"}, True),
            ({"StringLike": {"k": "data/*"}}, {"k": ""}, False),
            ({"StringNotLike": {"k": "data/*"}}, {"k": "runs/"}, True),
            ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "true"}, False),
            ({"Bool": {"aws:SecureTransport": False}}, {"aws:securetransport": "false"}, True),
            ({"ArnEquals": {"k": "arn:aws:l:e:1:f"}}, {"k": "arn:aws:l:e:1:f"}, True),
            ({"ArnLike": {"k": "arn:aws:l:*:1:f"}}, {"k": "arn:aws:l:e:1:f"}, True),
            ({"ArnLike": {"k": "arn:aws:*:f"}}, {"k": "arn:aws:l:e:1:f"}, False),
            ({"Null": {"k": "true"}}, {}, True),
            ({"Null": {"k": "false"}}, {}, False),
            ({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}, {"k": ["x", "b"]}, True),
            ({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}, {}, False),
            ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["x", "b"]}, False),
            ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {}, True),
            ({"StringEquals": {"k": "a", "l": "b"}}, {"k": "a"}, False),
            ({"StringEquals": {"k": "a"}, "Bool": {"l": "true"}}, {"k": "a", "l": "true"}, True),
        ],
    )
    def test_conditions(self, condition, context, allowed):
        """Keys take any case; an absent one fails, unless the operator asks for the opposite or says IfExists."""
        assert decide(policy(Action="*", Condition=condition), "x:Y", "*", context).allowed is allowed

    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            ({"Action": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, "IpAddress"),
            ({"Action": "*", "Resource": "arn:aws:s3:::b/${aws:username}/*"}, "aws:username"),
            ({"Action": "*", "Principal": {"AWS": "1"}}, "principal"),
            ({"Action": "*", "Effect": "Maybe"}, "effect"),
            ({"Action": "*", "Ressource": "*"}, "Ressource"),
        ],
    )
    def test_what_is_not_evaluated_is_an_error_and_never_a_guess(self, statement, named):
        """The element or operator is named."""
        with pytest.raises(HarnessError, match=named):
            decide(policy(**statement), "x:Y", "arn:aws:s3:::b/k", {"aws:SourceIp": "10.0.0.1"})


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.function}-{call.action}-{call.why.replace(' ', '-')}")
def test_roles_allow_what_handlers_call_and_nothing_of_what_they_should_not(call):
    """The table: call, role, expected; the role, the bucket's policy and the endpoint on the way all count."""
    verdict = DEPLOYMENT.judge(call)

    assert verdict.as_expected, f"{verdict.allowed=} by {verdict.by}"


def test_every_call_in_the_handlers_sources_is_in_the_table():
    """A new call without its permission is noticed here, not on AWS."""
    found = operations_in(ROOT / "lambdas")
    allowed = {call.action for call in CALLS if call.expected and call.from_code}

    assert found <= ACTIONS.keys(), "name the new operation in access.ACTIONS, and a call in its table"
    assert {ACTIONS[operation] for operation in found} == allowed


def test_operations_are_read_out_of_sources(tmp_path):
    """Methods and paginators of the services that boto3 is asked for, and nothing else."""
    source = 'c = boto3.client("s3")\nc.head_object(Key="k")\nc.get_paginator("list_parts")\nc.append(1)\nf.invoke()'
    (tmp_path / "handler.py").write_text(source)

    assert operations_in(tmp_path) == {("s3", "head_object"), ("s3", "list_parts")}


def test_no_permission_is_idle():
    """Without any one of its actions or resources, a role refuses something that its function needs."""
    idle = []
    for function in FUNCTIONS:
        needed = [call for call in calls_of(function, DEPLOYMENT) if call.expected]
        policies = DEPLOYMENT.policies_of(function)
        for less, what in weakened(policies):
            judged = [decide(less, call.action, call.resource, call.context).allowed for call in needed]
            if all(judged):
                idle.append(f"{function}: {what}")

    assert idle == []


def weakened(policies):
    """The policies without one action, or one resource, of one statement that allows."""
    for index, statement in enumerate(policies[0]["Statement"]):
        if statement["Effect"] != "Allow":
            continue
        for element in ("Action", "Resource"):
            values = statement[element] if isinstance(statement[element], list) else [statement[element]]
            for value in values:
                # Objects and aliases alike: a resource for what ends in something else is a resource of its own.
                less = copy.deepcopy(policies)
                less[0]["Statement"][index][element] = [other for other in values if other != value]
                yield less, f"{statement['Sid']} {element} {value}"


def test_without_the_denial_code_could_use_what_lambda_needs():
    """The network permissions are Lambda's; a statement takes them away from the function's own code."""
    policies = copy.deepcopy(role_policies(BODY, {})["LinearEc2Role"])
    context = {"lambda:SourceFunctionArn": DEPLOYMENT.function("linear_ec_2")}
    action, resource = "ec2:CreateNetworkInterface", DEPLOYMENT.interface()

    assert not decide(policies, action, resource, context).allowed
    policies[0]["Statement"] = [entry for entry in policies[0]["Statement"] if entry["Sid"] != "NotFromCode"]
    assert decide(policies, action, resource, context).allowed


def test_a_function_by_version_or_alias_is_still_the_functions_code():
    """The denial covers qualified ARNs."""
    context = {"lambda:SourceFunctionArn": DEPLOYMENT.function("linear_ec_2", "7")}

    decision = decide(DEPLOYMENT.policies_of("linear_ec_2"), "ec2:DescribeSubnets", "*", context)

    assert decision == Decision(allowed=False, by="NotFromCode")


def test_the_function_of_a_calibration_has_the_denial_of_the_worker():
    """It runs the worker's code with the worker's role, under another name."""
    context = {"lambda:SourceFunctionArn": DEPLOYMENT.function(CALIBRATION_FUNCTION)}

    decision = decide(DEPLOYMENT.policies_of("linear_ec_2"), "ec2:CreateNetworkInterface", "*", context)

    assert decision == Decision(allowed=False, by="NotFromCode")


def test_the_endpoint_on_the_way_counts_too():
    """A role may allow what the endpoint does not let through; on AWS that is a 403 without a hint."""
    endpoint = BODY.index("Sid: OnlyInvokingWorkers")
    body = BODY[:endpoint] + BODY[endpoint:].replace("lambda:InvokeFunction", "lambda:InvokeAsync", 1)

    wrong = [verdict for verdict in judge_all(Deployment(body)) if not verdict.as_expected]

    assert {verdict.call.action for verdict in wrong} == {"lambda:InvokeFunction"}
    assert all(verdict.by.startswith("endpoint:") for verdict in wrong)


def test_the_table_is_printed_with_what_is_not_as_expected_marked():
    """A permission that is lost shows in the lines concerned, and in the count."""
    body = BODY.replace("/runs/*/invoked.json", "/runs/*/invoked.txt")

    text = text_of(judge_all(Deployment(body)))

    assert "2 not as expected" in text.splitlines()[-1]
    marked = [line for line in text.splitlines() if "(!)" in line]
    assert len(marked) == 2
    assert all(line.startswith(COORDINATOR) and "invoked.json" in line for line in marked)


def test_policies_follow_stack_account_and_region():
    """Nothing of the defaults is left in them."""
    policies = role_policies(BODY, {}, "210987654321", "eu-central-1", stack="team-a")["LinearEc1Role"]

    text = json.dumps(policies)
    assert "arn:aws:s3:::team-a-data-210987654321-eu-central-1/runs/*/job.json" in text
    assert "arn:aws:lambda:eu-central-1:210987654321:function:linear_ec_2" in text
    assert "123456789012" not in text


# What IAM calls services and operations, where it is not what boto3 calls them.
PREFIXES = {"resourcegroupstaggingapi": "tag"}
NAMES = {
    "head_bucket": "ListBucket",
    "list_objects_v2": "ListBucket",
    "list_object_versions": "ListBucketVersions",
    "list_multipart_uploads": "ListBucketMultipartUploads",
    "delete_objects": "DeleteObject",
    "invoke": "InvokeFunction",
}
# A resource of the deployment's own, for each service that knows resources.
OWN = {
    "cloudformation:": "stack/lambda-harness/1",
    "ec2:": "network-interface/eni-1",
    "ecr:": "repository/lambda-harness/linear_ec_2",
    "elasticache:": "cluster:lam-1",
    "iam:": "role/lambda-harness-LinearEc1Role-ABC",
    "lambda:": "function:linear_ec_2",
    "logs:": "log-group:/aws/lambda/linear_ec_2:*",
    "s3:": "lambda-harness-data-123456789012-us-east-1",
}


class TestDeployer:
    """docs/deployer-policy.json: what a person or a workflow needs in order to deploy, run and destroy."""

    POLICY = json.loads((ROOT / "docs/deployer-policy.json").read_text())

    def test_fits_into_a_managed_policy(self):
        """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html - white space does not count."""
        assert len(re.sub(r"\s", "", json.dumps(self.POLICY))) <= 6144

    def test_every_action_exists(self):
        """AWS takes a misspelt action without a word, and it allows nothing."""
        known = json.loads(resources.files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text())

        for action in actions_allowed([self.POLICY]):
            service, name = action.split(":")
            pattern = re.compile(re.escape(name.lower()).replace(r"\*", ".*"))
            assert any(map(pattern.fullmatch, known[service]["Actions"])), action

    def test_every_call_of_deploy_run_and_destroy_is_granted(self):
        """Read out of their sources, as the handlers' calls are: on a resource of the deployment's own, or on all."""
        found = operations_in(ROOT / "harness/deploy") | operations_in(ROOT / "harness/runs")
        own = {action.split(":")[0]: arn(action, resource) for action, resource in OWN.items()}

        refused = []
        for service, operation in sorted(found):
            prefix = PREFIXES.get(service, service)
            action = f"{prefix}:{NAMES.get(operation, operation.title().replace('_', ''))}"
            if not any(decide([self.POLICY], action, resource).allowed for resource in (own.get(prefix, "*"), "*")):
                refused.append(action)

        assert len(found) > 30
        assert refused == []

    @pytest.mark.parametrize(
        ("action", "resource", "context", "allowed"),
        [
            ("sts:GetCallerIdentity", "*", {}, True),
            ("cloudformation:CreateChangeSet", "stack/lambda-harness/1", {}, True),
            ("cloudformation:DeleteStack", "stack/lambda-harness/1", {}, True),
            ("cloudformation:DeleteStack", "stack/somebody-elses/1", {}, False),
            ("ec2:CreateVpc", "ec2:::vpc/*", {}, True),
            ("ec2:DeleteVpc", "ec2:::vpc/vpc-1", {"aws:ResourceTag/lambda-harness:stack": "lambda-harness"}, True),
            ("ec2:DeleteVpc", "ec2:::vpc/vpc-1", {}, False),
            ("ec2:RunInstances", "ec2:::instance/*", {}, False),
            ("elasticache:CreateCacheCluster", "elasticache:::cluster:lam-1", {}, True),
            ("iam:CreateServiceLinkedRole", "iam:::role/aws-service-role/elasticache.amazonaws.com/x",
             {"iam:AWSServiceName": "elasticache.amazonaws.com"}, True),
            ("iam:CreateServiceLinkedRole", "iam:::role/aws-service-role/ecs.amazonaws.com/x",
             {"iam:AWSServiceName": "ecs.amazonaws.com"}, False),
            ("s3:CreateBucket", "s3:::lambda-harness-data-123456789012-us-east-1", {}, True),
            ("s3:PutObject", "s3:::lambda-harness-data-123456789012-us-east-1/data/higgs/0_4", {}, True),
            ("s3:DeleteBucket", "s3:::payroll", {}, False),
            ("ecr:PutImage", "ecr:::repository/lambda-harness/linear_ec_1", {}, True),
            ("ecr:PutImage", "ecr:::repository/payroll", {}, False),
            ("lambda:CreateFunction", "lambda:::function:linear_ec_2", {}, True),
            ("lambda:PutFunctionConcurrency", "lambda:::function:linear_ec_2", {}, True),
            ("lambda:InvokeFunction", "lambda:::function:linear_ec_1:live", {}, True),
            ("lambda:UpdateFunctionCode", "lambda:::function:payroll", {}, False),
            ("iam:CreateRole", "iam:::role/lambda-harness-LinearEc1Role-ABC", {}, True),
            ("iam:CreateRole", "iam:::role/administrator", {}, False),
            ("iam:AttachRolePolicy", "iam:::role/lambda-harness-LinearEc1Role-ABC", {}, False),
            ("iam:PassRole", "iam:::role/lambda-harness-LinearEc1Role-ABC",
             {"iam:PassedToService": "lambda.amazonaws.com"}, True),
            ("iam:PassRole", "iam:::role/lambda-harness-LinearEc1Role-ABC",
             {"iam:PassedToService": "ec2.amazonaws.com"}, False),
            ("logs:FilterLogEvents", "logs:::log-group:/aws/lambda/linear_ec_1:*", {}, True),
            ("logs:DeleteLogGroup", "logs:::log-group:/aws/lambda/payroll:*", {}, False),
            ("sqs:CreateQueue", "sqs:::lambda-harness-failures", {}, True),
            ("budgets:ModifyBudget", "budgets:::budget/lambda-harness", {}, True),
            ("servicequotas:GetServiceQuota", "*", {}, False),
            ("tag:GetResources", "*", {}, True),
        ],
    )  # fmt: skip
    def test_it_may_deploy_and_not_touch_what_is_others(self, action, resource, context, allowed):
        """Calls of deploy, run and destroy, and some of nobody's business."""
        assert decide([self.POLICY], action, arn(action, resource), context).allowed is allowed


def arn(action: str, short: str) -> str:
    """A full ARN from its short form, with region and account where its service has them."""
    if short == "*":
        return short
    service, rest = short.split(":::", 1) if ":::" in short else (action.split(":", maxsplit=1)[0], short)
    region = "" if service in {"s3", "iam", "budgets"} else "us-east-1"
    account = "" if service == "s3" else "123456789012"
    return f"arn:aws:{service}:{region}:{account}:{rest}"
