"""Roles in a rehearsal: what a function's role does not allow fails in the run, as it would on AWS."""

import json

import boto3
import httpx
import pytest
from botocore.config import Config

from harness.aws.function_deployer import Code, DesiredFunction, create_or_update
from harness.deploy import functions, stack
from harness.deploy.destroy import DestroyRequest, destroy
from harness.deploy.template import load_template, with_defaults
from harness.deploy.zones import region_parameters
from harness.gateway.credentials import Caller, token_of
from harness.runs.functions import package
from harness.settings import FunctionSettings, load_settings
from tests.support.functions import HANDLERS

NAME = "roles"
WORKER = "linear_ec_2"


def _silent(_line):
    pass


@pytest.fixture(scope="module")
def stands(target):
    """The template's stack."""
    cfn, body = target.client("cloudformation"), load_template()
    parameters = with_defaults(body, region_parameters(target.session, target.endpoint("ec2")))
    change_set = stack.propose(cfn, NAME, None, body, parameters, functions.tags_of("test", NAME))
    yield stack.execute(cfn, change_set, _silent)
    # Its last events may still be on their way to the failure queue.
    removed = destroy(target, load_settings(), DestroyRequest(NAME, empty=True), log=_silent, agree=lambda _: True)
    assert [] == removed.left


@pytest.fixture(scope="module")
def call(target, stands):
    """Has the worker, deployed with its role and in its subnets, make calls; answers with what came of each."""
    declared = FunctionSettings(
        source=HANDLERS, handler="call_aws.handler", timeout_s=60, memory_mb=512, recursive=True
    )
    client, tags = target.client("lambda"), functions.tags_of("test", NAME)
    code = package(declared)
    wanted = DesiredFunction(
        WORKER, declared, Code("", {"ZipFile": code}), functions.placement_of(stands, WORKER, tags)
    )
    create_or_update(client, wanted)

    def make(*calls):
        answer = client.invoke(FunctionName=WORKER, Payload=json.dumps({"calls": calls}).encode())
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload

    return make


@pytest.fixture(scope="module")
def bucket(target, stands):
    """The deployment's bucket, with one partition in it."""
    name = functions.output(stands, "DataBucket")
    target.client("s3").put_object(Bucket=name, Key="data/higgs/0_1", Body=b"rows")
    return name


def test_what_the_handlers_do_is_allowed(call, bucket):
    """Rows are read, results written and listed, an absent checkpoint is absent, the worker goes on by itself."""
    told = call(
        ["s3", "get_object", {"Bucket": bucket, "Key": "data/higgs/0_1"}],
        ["s3", "put_object", {"Bucket": bucket, "Key": "runs/r1/model.npz", "Body": "x"}],
        ["s3", "list_objects_v2", {"Bucket": bucket, "Prefix": "runs/r1/"}],
        ["s3", "get_object", {"Bucket": bucket, "Key": "runs/r1/checkpoint/7.json"}],
        ["lambda", "invoke", {"FunctionName": WORKER, "InvocationType": "DryRun"}],
        ["s3", "put_object", {"Bucket": bucket, "Key": "runs/r1/größe + 100 %.json", "Body": "x"}],
        ["s3", "head_object", {"Bucket": bucket, "Key": "runs/r1/größe + 100 %.json"}],
        ["s3", "put_object", {"Bucket": bucket, "Key": "runs/r1/checkpoint/5/a & b", "Body": "x"}],
        ["s3", "delete_objects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": "runs/r1/checkpoint/5/a & b"}]}}],
    )

    assert ["ok", "ok", "ok"] == told[:3]
    assert ["ok"] * 4 == told[5:]
    assert told[3].startswith("NoSuchKey")
    assert "ok" == told[4]


def test_what_they_must_not_do_fails_in_awss_words(call, bucket):
    """With who, what and on which resource, so that the missing permission can be read off."""
    told = call(
        ["s3", "put_object", {"Bucket": bucket, "Key": "data/higgs/0_1", "Body": "x"}],
        ["s3", "delete_object", {"Bucket": bucket, "Key": "data/higgs/0_1"}],
        ["s3", "list_objects_v2", {"Bucket": bucket, "Prefix": "data/"}],
        ["s3", "delete_objects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": "data/higgs/0_1"}]}}],
        ["s3", "put_bucket_policy", {"Bucket": bucket, "Policy": "{}"}],
        ["s3", "list_buckets", {}],
        ["s3", "copy_object", {"Bucket": bucket, "Key": "runs/r1/copy", "CopySource": f"{bucket}-of-others/secret"}],
        ["lambda", "delete_function", {"FunctionName": WORKER}],
        ["iam", "list_roles", {}],
        ["sqs", "list_queues", {}],
    )

    assert all(answer.startswith(("AccessDenied: User: ", "AccessDeniedException: User: ")) for answer in told), told
    assert "s3:ListAllMyBuckets on resource: *" in told[5]
    assert f"assumed-role/{NAME}-LinearEc2Role-" in told[0]
    assert f"is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::{bucket}/data/higgs/0_1" in told[0]
    assert "because no identity-based policy allows the s3:PutObject action" in told[0]


def test_a_function_that_a_role_may_not_invoke_is_not_invoked(call, target):
    """The gateway asks for the caller's permissions, too."""
    declared = FunctionSettings(source=HANDLERS, handler="echo.handler")
    code = Code("", {"ZipFile": package(declared)})
    create_or_update(target.client("lambda"), DesiredFunction("somebody_elses", declared, code))

    (told,) = call(["lambda", "invoke", {"FunctionName": "somebody_elses"}])

    target.client("lambda").delete_function(FunctionName="somebody_elses")
    assert told.startswith("AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/")
    assert told.endswith("because no identity-based policy allows the lambda:InvokeFunction action")


def test_the_policy_of_a_function_lets_a_role_invoke_it(call, target, stands):
    """Within one account that is enough, if the policy names the role and the action."""
    role = functions.output(stands, "LinearEc2RoleArn")
    declared = FunctionSettings(source=HANDLERS, handler="echo.handler")
    client = target.client("lambda")
    create_or_update(client, DesiredFunction("somebody_elses", declared, Code("", {"ZipFile": package(declared)})))

    granted = {"FunctionName": "somebody_elses", "StatementId": "worker", "Principal": role}
    client.add_permission(**granted, Action="lambda:GetFunction")
    (another_action,) = call(["lambda", "invoke", {"FunctionName": "somebody_elses"}])
    client.remove_permission(FunctionName="somebody_elses", StatementId="worker")
    client.add_permission(**granted, Action="lambda:InvokeFunction")
    (told,) = call(["lambda", "invoke", {"FunctionName": "somebody_elses"}])

    client.delete_function(FunctionName="somebody_elses")
    assert another_action.startswith("AccessDeniedException")
    assert told == "ok"


def test_absence_is_told_only_to_who_may_list(call, bucket, target, stands):
    """A checkpoint that is not there is a 403 without `s3:ListBucket`: the trap that decision 13 tells of."""
    iam = target.client("iam")
    role = functions.output(stands, "LinearEc2RoleArn").rpartition("/")[2]
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    less = [statement for statement in before["Statement"] if statement["Sid"] != "ListRuns"]
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps({**before, "Statement": less}))
    try:
        told = call(["s3", "get_object", {"Bucket": bucket, "Key": "runs/r1/checkpoint/7.json"}])
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(before))

    assert told[0].startswith("AccessDenied")


def test_a_presigned_url_has_the_rights_of_who_signed_it(target, stands, bucket):
    """Its token is in the URL: the worker reads rows by one, and does not read what it may not read."""
    vpc = target.client("ec2").describe_subnets(SubnetIds=[functions.output(stands, "SubnetIds").split(",")[0]])
    role = functions.output(stands, "LinearEc2RoleArn")
    token = token_of(
        Caller(f"arn:aws:lambda:us-east-1:123456789012:function:{WORKER}", role, vpc["Subnets"][0]["VpcId"])
    )
    signer = boto3.Session(target.stack.endpoints.access_key, "test", token, "us-east-1").client(
        "s3", endpoint_url=target.endpoint("s3"), config=Config(s3={"addressing_style": "path"})
    )
    target.client("s3").put_object(Bucket=bucket, Key="elsewhere", Body=b"secret")

    answers = [
        httpx.get(signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})).status_code
        for key in ("data/higgs/0_1", "elsewhere")
    ]

    assert [200, 403] == answers


def test_a_role_that_was_deleted_allows_nothing(call, bucket, target, stands):
    """As on AWS: a function whose role has gone is refused everywhere."""
    client = target.client("lambda")
    role = functions.output(stands, "LinearEc2RoleArn")
    client.update_function_configuration(FunctionName=WORKER, Role=f"{role}-gone")
    try:
        told = call(["s3", "get_object", {"Bucket": bucket, "Key": "data/higgs/0_1"}])
    finally:
        client.update_function_configuration(FunctionName=WORKER, Role=role)

    assert told[0].startswith("AccessDenied")


def test_an_endpoint_that_lets_nothing_out_is_told(call, bucket, target):
    """On AWS the role alone does not open the way out of the VPC."""
    ec2 = target.client("ec2")
    s3_endpoint = [{"Name": "service-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    (endpoint,) = ec2.describe_vpc_endpoints(Filters=s3_endpoint)["VpcEndpoints"]
    elsewhere = endpoint["PolicyDocument"].replace(bucket, "another-bucket")
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=elsewhere)
    try:
        told = call(["s3", "get_object", {"Bucket": bucket, "Key": "data/higgs/0_1"}])
    finally:
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=endpoint["PolicyDocument"])

    assert told[0].startswith("AccessDenied")
    assert "endpoint: no statement allows it" in told[0]
