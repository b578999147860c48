"""Traps that a rehearsal cannot show: each is set here, and found with its name and its remedy."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from harness.deploy.checks import check_creation, check_functions, check_template
from harness.deploy.functions import tags_of, wanted_functions
from harness.deploy.intrinsics import Resolver, parse
from harness.deploy.stack import StackInfo
from harness.deploy.template import load_template, with_defaults
from harness.release.record import Push, now
from harness.settings import load_settings

BODY = load_template()
TEMPLATE = parse(BODY)
PARAMETERS = with_defaults(BODY, {"AvailabilityZones": "us-east-1a,us-east-1b", "S3PrefixListId": "pl-63a5400a"})
SETTINGS = load_settings()

Edit = Callable[[dict[str, Any]], object]


def drop(*path: str | int) -> Edit:
    """An edit that removes what lies at the path below Resources."""

    def edit(resources: dict[str, Any]) -> None:
        target = at(resources, path[:-1])
        del target[path[-1]]

    return edit


def put(*path: str | int, to: object) -> Edit:
    """An edit that puts the value at the path below Resources."""

    def edit(resources: dict[str, Any]) -> None:
        at(resources, path[:-1])[path[-1]] = to

    return edit


def at(resources: dict[str, Any], path: tuple[str | int, ...]) -> Any:
    """What lies at the path; after a resource's name it goes on within its properties."""
    target: Any = resources
    for index, key in enumerate(path):
        target = target[key]
        if index == 0:
            target = target["Properties"]
    return target


STATEMENTS = ("Policies", 0, "PolicyDocument", "Statement")
RESULTS = "LinearEc2Role, statement Results"
BLOCK = ("DataBucket", "PublicAccessBlockConfiguration", "BlockPublicPolicy")
ANYWHERE = [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]


@pytest.mark.parametrize(
    ("edit", "rule", "where", "said"),
    [
        # The coordinator's Invoke, and S3, have no other way out of the VPC.
        (lambda resources: resources.pop("LambdaEndpoint"), "endpoint", "endpoint of lambda", "cannot reach lambda"),
        (lambda resources: resources.pop("S3Endpoint"), "endpoint", "endpoint of s3", "cannot reach s3"),
        (lambda resources: resources.pop("SubnetARoutes"), "endpoint", "S3Endpoint", "subnet-SubnetA"),
        (put("LambdaEndpoint", "PrivateDnsEnabled", to=False), "endpoint", "LambdaEndpoint", "public address"),
        (put("LambdaEndpoint", "SubnetIds", to=[]), "endpoint", "LambdaEndpoint", "not in subnet-SubnetA"),
        (lambda resources: resources.pop("EndpointIngress"), "endpoint", "LambdaEndpoint", "admits no functions"),
        (drop("FunctionSecurityGroup", "SecurityGroupEgress", 2), "endpoint", "LambdaEndpoint", "no egress to it"),
        (drop("FunctionSecurityGroup", "SecurityGroupEgress", 1), "endpoint", "S3Endpoint", "prefix list"),
        (put("EndpointIngress", "ToPort", to=80), "endpoint", "LambdaEndpoint", "port 443"),
        (put("Vpc", "EnableDnsHostnames", to=False), "vpc-dns", "Vpc", "EnableDnsHostnames"),
        # Memcached.
        (lambda resources: resources.pop("CacheIngress"), "cache", "Cache", "admits no functions"),
        (drop("FunctionSecurityGroup", "SecurityGroupEgress", 0), "cache", "Cache", "no egress to it"),
        # Nothing else may be reached.
        (drop("CacheSecurityGroup", "SecurityGroupEgress"), "egress", "CacheSecurityGroup", "all outgoing traffic"),
        (put("FunctionSecurityGroup", "SecurityGroupEgress", to=ANYWHERE), "egress", "FunctionSecurityGroup", "allows"),
        (put("SubnetB", "CidrBlock", to="10.43.0.0/20"), "subnet", "SubnetB", "not within the VPC's 10.42.0.0/16"),
        (put("SubnetB", "CidrBlock", to="10.42.8.0/21"), "subnet", "SubnetB", "overlaps SubnetA's"),
        (put("SubnetB", "AvailabilityZone", to="us-east-1a"), "subnet", "SubnetB", "same zone"),
        (put("CacheIngress", "Description", to="It's the cache"), "description", "CacheIngress", "It's"),
        # What stays behind unseen, open or for ever.
        (drop("Cache", "Tags"), "tags", "Cache", "lambda-harness:project, lambda-harness:stack"),
        (drop("DataBucket", "Tags", 1), "tags", "DataBucket", "lambda-harness:stack"),
        (drop("DataBucket", "BucketEncryption"), "bucket", "DataBucket", "encryption"),
        (put(*BLOCK, to=False), "bucket", "DataBucket", "off"),
        (put("LinearEc2Repository", "ImageTagMutability", to="MUTABLE"), "repository", "LinearEc2Repository", "move"),
        (drop("LinearEc2Logs", "RetentionInDays"), "logs", "LinearEc2Logs", "forever"),
        # Roles.
        (put("LinearEc2Role", *STATEMENTS, 2, "Resource", to="*"), "permissions", RESULTS, "on every resource"),
        (put("LinearEc2Role", *STATEMENTS, 2, "Action", to="s3:*"), "permissions", RESULTS, "s3:*"),
        (put("LinearEc1Role", "ManagedPolicyArns", to=["arn:x"]), "permissions", "LinearEc1Role", "managed"),
        (drop("LinearEc2Role", *STATEMENTS, 3), "access", "LinearEc2Role", "s3:DeleteObject"),
        (drop("LinearEc1Role", *STATEMENTS, 3), "access", "LinearEc1Role", "lambda:InvokeFunction"),
        (drop("DataBucketPolicy", "PolicyDocument", "Statement", 0), "access", "LinearEc1Role", "without TLS"),
    ],
)  # fmt: skip
def test_a_trap_in_the_template_is_found(edit: Edit, rule: str, where: str, said: str):
    """The finding names the rule, the resource and what is wrong, and knows a remedy."""
    template = copy.deepcopy(TEMPLATE)
    edit(template["Resources"])

    findings = check_template(json.dumps(template), PARAMETERS, lint=False)

    assert any(one.rule == rule and one.where == where and said in one.what and one.remedy for one in findings), (
        findings
    )


def test_a_missing_checkpoint_must_be_told_from_a_forbidden_one():
    """Without IfExists S3 answers a GetObject of an absent key with 403, and a run that resumes would fail."""
    body = BODY.replace("StringLikeIfExists", "StringLike")

    findings = check_template(body, PARAMETERS, lint=False)

    assert {finding.rule for finding in findings} == {"access"}
    assert all("404" in finding.what for finding in findings)
    assert {finding.where for finding in findings} == {"LinearEc1Role", "LinearEc2Role", "LinearEc2NnRole"}


def test_an_output_that_harness_reads_is_missed():
    """A hand-edited template that lacks one is refused before a stack is made of it."""
    template = copy.deepcopy(TEMPLATE)
    del template["Outputs"]["LinearEc2NnRepositoryUri"]

    findings = check_template(json.dumps(template), PARAMETERS, lint=False)

    assert [(one.rule, one.where) for one in findings] == [("output", "Outputs.LinearEc2NnRepositoryUri")]


def test_a_template_too_large_for_cloudformation_is_found():
    """CloudFormation takes 51,200 bytes."""
    findings = check_template(BODY + "#" * 51_200, PARAMETERS, lint=False)

    assert [one.rule for one in findings] == ["template-size"]
    assert "51200" in findings[0].what


def changed(name: str, **fields: Any):
    """The project's settings with a function changed."""
    function = msgspec.structs.replace(SETTINGS.functions[name], **fields)
    return msgspec.structs.replace(SETTINGS, functions={**SETTINGS.functions, name: function})


class TestFunctions:
    """What harness.toml declares, beside the run that is wanted."""

    def test_the_projects_own_functions_are_free_of_findings(self):
        """For a run of eight on an account with AWS's default quota."""
        reserved = {"linear_ec_1": 1, "linear_ec_2": 8}

        assert check_functions(SETTINGS, PARAMETERS, 8, reserved=reserved, account_concurrency=1000, body=BODY) == []

    @pytest.mark.parametrize(
        ("settings", "rule", "said"),
        [
            (changed("linear_ec_1", timeout_s=3), "timeout", "3 s"),
            (changed("linear_ec_2", recursive=False), "recursion", "after 16 invocations"),
            (
                changed("linear_ec_2", environment={"TEXT": "x" * 4100}),
                "environment",
                "4104 bytes, Lambda accepts 4096",
            ),
        ],
    )
    def test_a_trap_in_harness_toml_is_found(self, settings, rule, said):
        """The finding names the function, the value and the field to correct."""
        findings = check_functions(settings, PARAMETERS, 8)

        assert [finding.rule for finding in findings] == [rule]
        assert findings[0].where.startswith("functions.linear_ec_")
        assert said in findings[0].what

    def test_a_function_that_the_template_does_not_know_is_found(self):
        """A user's own function with an image needs a role and a repository."""
        own = msgspec.structs.replace(SETTINGS.functions["linear_ec_1"], image="mine")
        settings = msgspec.structs.replace(SETTINGS, functions={**SETTINGS.functions, "mine": own})

        findings = check_functions(settings, PARAMETERS, 8, body=BODY)

        assert [(one.rule, one.where) for one in findings] == [("role", "functions.mine")]
        assert "MineRole" in findings[0].remedy

    @pytest.mark.parametrize(
        ("n_workers", "reserved", "account", "said"),
        [
            (16, {"linear_ec_2": 8}, None, ["8 concurrent invocations are reserved for it, but the run needs 16"]),
            (16, {"linear_ec_2": 16, "linear_ec_2_nn": 16}, 120, ["32 of the account's 120 concurrent invocations"]),
            (16, {}, 10, ["the account allows 10 unreserved concurrent invocations, but the run needs 17"]),
            (9, {}, 10, []),
        ],
    )
    def test_too_little_concurrency_is_found(self, n_workers, reserved, account, said):
        """A barrier among n workers needs n of them at once."""
        findings = check_functions(SETTINGS, PARAMETERS, n_workers, reserved=reserved, account_concurrency=account)

        assert [finding.rule for finding in findings if finding.level == "error"][: len(said)] == ["concurrency"] * len(
            said
        )
        for text, finding in zip(said, findings, strict=False):
            assert text in finding.what
        assert bool(findings) == bool(said)

    def test_an_item_limit_below_the_model_is_a_warning(self):
        """Splitting a frame into items costs round trips, but works."""
        (finding,) = check_functions(SETTINGS, PARAMETERS, 2, 2_000_000)

        assert (finding.rule, finding.level) == ("item-size", "warning")
        assert "2 items" in finding.what
        assert check_functions(SETTINGS, {**PARAMETERS, "CacheItemBytes": "2097152"}, 2, 2_000_000) == []

    def test_a_cache_that_would_evict_what_is_not_yet_read_is_found(self):
        """Frames of three rounds lie in it at once."""
        parameters = {**PARAMETERS, "CacheItemBytes": "67108864"}

        findings = check_functions(SETTINGS, parameters, 16, 50_000_000)

        assert [finding.rule for finding in findings] == ["cache-memory"]
        assert check_functions(SETTINGS, {**parameters, "CacheNodes": "8"}, 16, 50_000_000) == []


CREATION = {
    "PackageType": "Image",
    "Code": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/lambda-harness/linear_ec_2@sha256:" + "0" * 64},
    "Timeout": 900,
    "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "snapstart"),
        ({"Code": {"ImageUri": "registry.example/linear_ec_2:latest"}}, "digest"),
        ({"Timeout": None}, "timeout"),
        ({"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}, "vpc"),
    ],
)
def test_a_trap_in_the_arguments_of_create_function_is_found(change: dict[str, Any], rule: str):
    """None of them is refused by Lambda before the first run; SnapStart is, with the stack half made."""
    arguments = {key: value for key, value in {**CREATION, **change}.items() if value is not None}

    assert [finding.rule for finding in check_creation("linear_ec_2", arguments)] == [rule]
    assert check_creation("linear_ec_2", {**CREATION, "SnapStart": {"ApplyOn": "None"}}) == []


def test_the_functions_that_deploy_creates_are_free_of_traps():
    """Each by its image's digest, with its own role, in the cache's subnet and the group of the functions."""
    resolver = Resolver(TEMPLATE, PARAMETERS)
    outputs = {name: str(resolver.resolve(entry["Value"])) for name, entry in TEMPLATE["Outputs"].items()}
    stack = StackInfo("id", "lambda-harness", "CREATE_COMPLETE", outputs=outputs)
    pushes = {name: Push(f"registry.example/{name}", "aaa", "sha256:" + "0" * 64, now()) for name in SETTINGS.functions}

    wanted = list(wanted_functions(SETTINGS, stack, pushes, tags_of("project", "lambda-harness")))

    assert {one.name for one in wanted} == set(SETTINGS.functions)
    assert len({one.configuration()["Role"] for one in wanted}) == len(wanted)
    for one in wanted:
        arguments = one.creation()
        assert check_creation(one.name, arguments) == []
        assert arguments["VpcConfig"] == {
            "SubnetIds": ["subnet-SubnetA"],
            "SecurityGroupIds": ["sg-FunctionSecurityGroup"],
        }
