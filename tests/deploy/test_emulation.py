"""CloudFormation as a rehearsal meets it: the very template of a deployment, created, changed, broken and deleted."""

import json
import socket
import urllib.error
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError

from harness.aws.clients import emulation_session
from harness.deploy.template import load_template
from harness.guard import authorization
from harness.settings import load_settings
from harness.stack import start_private_stack
from harness.system.probes import wait_until

ACCOUNT, REGION = "123456789012", "us-east-1"
PARAMETERS = {"AvailabilityZones": "us-east-1a,us-east-1b", "S3PrefixListId": "pl-0123456789abcdef0"}
# Long enough to be seen, and no test waits for one that it does not look at.
SLOW_S = 0.3


@pytest.fixture(scope="module")
def emulation(tmp_path_factory):
    """A stack with moto as S3."""
    root = tmp_path_factory.mktemp("project")
    (root / "harness.toml").write_text('[stack]\ns3 = "moto"\n', encoding="utf-8")
    with start_private_stack(load_settings(root), mode="process") as state:
        yield state


@pytest.fixture(scope="module")
def service(emulation):
    """Makes a client for a service."""
    return lambda name: emulation_session(emulation.endpoints).client(name, endpoint_url=emulation.endpoints.aws)


@pytest.fixture(scope="module")
def cloudformation(service):
    """The client."""
    return service("cloudformation")


@pytest.fixture
def name(cloudformation, plan, empty):
    """The name of a stack, which is deleted at the end."""
    stack = f"rehearsal-{uuid.uuid4().hex[:6]}"
    yield stack
    plan({})
    empty(stack)
    cloudformation.delete_stack(StackName=stack)
    assert wait_until(lambda: not stacks(cloudformation, stack), 60), events(cloudformation, stack)


@pytest.fixture
def plan(emulation):
    """Tells the emulation what is to go wrong."""

    def put(faults):
        request = urllib.request.Request(
            f"{emulation.endpoints.aws}/_harness/faults",
            json.dumps(faults).encode(),
            authorization(emulation.endpoints.access_key),
            method="PUT",
        )
        with urllib.request.urlopen(request) as answer:
            assert 204 == answer.status

    yield put
    put({})


@pytest.fixture
def empty(service):
    """Empties a stack's bucket, if it has one."""

    def empty_bucket(stack):
        s3, bucket = service("s3"), bucket_of(stack)
        try:
            for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=entry["Key"])
        except s3.exceptions.NoSuchBucket:
            return

    return empty_bucket


@pytest.fixture
def deploy(cloudformation):
    """Creates or updates a stack by a change set and waits for the end; answers with what came of it."""

    def deploy_template(name, kind="CREATE", body=None, *, wait=True, **parameters):
        change_set = cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=f"c{uuid.uuid4().hex}",
            ChangeSetType=kind,
            TemplateBody=body or load_template(),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in ({} if body else PARAMETERS | parameters).items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change_set["Id"])
        cloudformation.execute_change_set(ChangeSetName=change_set["Id"])
        return settled(cloudformation, name) if wait else None

    return deploy_template


def bucket_of(stack):
    """The name of the data bucket."""
    return f"{stack}-data-{ACCOUNT}-{REGION}"


def stacks(cloudformation, name):
    """The stack with that name, in a list; none when there is none."""
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError:
        return []


def settled(cloudformation, name):
    """The stack once nothing is in progress any more."""
    assert wait_until(lambda: not stacks(cloudformation, name)[0]["StackStatus"].endswith("IN_PROGRESS"), 30)
    return stacks(cloudformation, name)[0]


def events(cloudformation, name):
    """(logical id, status, reason) of all events, the oldest first."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    found = [event for page in pages for event in page["StackEvents"]]
    return [(e["LogicalResourceId"], e["ResourceStatus"], e.get("ResourceStatusReason", "")) for e in reversed(found)]


def everything(service):
    """What exists in the account, by the services' own listings and not by CloudFormation's."""
    ec2, iam, cache = service("ec2"), service("iam"), service("elasticache")
    ours = [{"Name": "is-default", "Values": ["false"]}]
    vpcs = [vpc["VpcId"] for vpc in ec2.describe_vpcs(Filters=ours)["Vpcs"]]
    of_vpcs = [{"Name": "vpc-id", "Values": [*vpcs, "none"]}]
    tables = ec2.describe_route_tables(Filters=of_vpcs)["RouteTables"]
    groups = ec2.describe_security_groups(Filters=of_vpcs)["SecurityGroups"]
    rules = [permission for group in groups for permission in group["IpPermissions"]]
    buckets = [bucket["Name"] for bucket in service("s3").list_buckets()["Buckets"]]
    return {
        "AWS::EC2::VPC": len(vpcs),
        "AWS::EC2::Subnet": len(ec2.describe_subnets(Filters=of_vpcs)["Subnets"]),
        # A VPC comes with one of each of its own.
        "AWS::EC2::RouteTable": len(tables) - len(vpcs),
        "AWS::EC2::SecurityGroup": len(groups) - len(vpcs),
        "AWS::EC2::SubnetRouteTableAssociation": sum(
            not association["Main"] for table in tables for association in table["Associations"]
        ),
        "AWS::EC2::SecurityGroupIngress": len(rules),
        "AWS::EC2::VPCEndpoint": len(ec2.describe_vpc_endpoints()["VpcEndpoints"]),
        "AWS::ElastiCache::SubnetGroup": len(cache.describe_cache_subnet_groups()["CacheSubnetGroups"]),
        "AWS::ElastiCache::ParameterGroup": len(cache.describe_cache_parameter_groups()["CacheParameterGroups"]),
        "AWS::ElastiCache::CacheCluster": len(cache.describe_cache_clusters()["CacheClusters"]),
        "AWS::S3::Bucket": len(buckets),
        "AWS::S3::BucketPolicy": sum(has_policy(service("s3"), bucket) for bucket in buckets),
        "AWS::ECR::Repository": len(service("ecr").describe_repositories()["repositories"]),
        "AWS::Logs::LogGroup": len(service("logs").describe_log_groups()["logGroups"]),
        "AWS::SQS::Queue": len(service("sqs").list_queues().get("QueueUrls", [])),
        "AWS::IAM::Role": len(iam.list_roles()["Roles"]),
        "AWS::Budgets::Budget": len(service("budgets").describe_budgets(AccountId=ACCOUNT).get("Budgets", [])),
    }


def has_policy(s3, bucket):
    """Whether a bucket has a policy."""
    try:
        return bool(s3.get_bucket_policy(Bucket=bucket))
    except ClientError:
        return False


def test_every_resource_of_the_template_exists_and_then_none(service, cloudformation, deploy, name):
    """Each type is there as often as in the template, by its own service; after the deletion nothing is."""
    before = everything(service)
    stack = deploy(name, BudgetUsd="25", BudgetEmail="somebody@example.com")
    listed = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    between = everything(service)
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    wanted = dict.fromkeys(before, 0)
    for resource in listed:
        wanted[resource["ResourceType"]] += 1
    assert "CREATE_COMPLETE" == stack["StackStatus"], events(cloudformation, name)
    assert wanted == between
    assert all(wanted.values())
    assert dict.fromkeys(before, 0) == before == everything(service)


def test_resources_are_as_the_template_says(service, deploy, name):
    """What moto's own handlers would leave out is there: encryption, lifecycles, retention, egress, immutability."""
    outputs = {
        output["OutputKey"]: output["OutputValue"] for output in deploy(name, CacheItemBytes="4194304")["Outputs"]
    }
    s3, ecr, ec2, cache = service("s3"), service("ecr"), service("ec2"), service("elasticache")
    bucket = outputs["DataBucket"]
    repository = f"{name}/linear_ec_1"

    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert "AES256" == encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert ["runs/", ""] == [rule["Filter"]["Prefix"] for rule in rules]
    described = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]
    assert ("IMMUTABLE", True) == (
        described["imageTagMutability"],
        described["imageScanningConfiguration"]["scanOnPush"],
    )
    assert ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"]
    groups = service("logs").describe_log_groups()["logGroups"]
    assert {14} == {group["retentionInDays"] for group in groups}
    (group,) = ec2.describe_security_groups(GroupIds=[outputs["FunctionSecurityGroupId"]])["SecurityGroups"]
    assert {11211, 443} == {permission["ToPort"] for permission in group["IpPermissionsEgress"]}
    (parameters,) = cache.describe_cache_parameter_groups()["CacheParameterGroups"]
    values = cache.describe_cache_parameters(CacheParameterGroupName=parameters["CacheParameterGroupName"])[
        "Parameters"
    ]
    assert {"max_item_size": "4194304"} == {value["ParameterName"]: value["ParameterValue"] for value in values}


def test_the_cache_of_the_stack_is_the_one_that_functions_reach(emulation, deploy, name):
    """The configuration endpoint of the outputs answers as ElastiCache's, and lists a node."""
    outputs = {output["OutputKey"]: output["OutputValue"] for output in deploy(name)["Outputs"]}

    assert emulation.functions_see.discovery == f"{outputs['CacheHost']}:{outputs['CachePort']}"
    with socket.create_connection((outputs["CacheHost"], int(outputs["CachePort"])), timeout=5) as connection:
        connection.sendall(b"config get cluster\r\n")
        assert connection.recv(4096).startswith(b"CONFIG cluster 0 ")


def test_everything_that_takes_tags_is_found_by_them(service, deploy, name):
    """The tagging API lists each kind of the template's that AWS's lists, and nothing after the deletion."""
    deploy(name)
    pages = service("resourcegroupstaggingapi").get_paginator("get_resources")
    tagged = {"TagFilters": [{"Key": "lambda-harness:stack", "Values": [name]}]}

    arns = [entry["ResourceARN"] for page in pages.paginate(**tagged) for entry in page["ResourceTagMappingList"]]

    kinds = {arn.split(":", 5)[2] + ":" + arn.split(":", 5)[5].split("/")[0].split(":")[0] for arn in arns}
    assert {
        "ec2:vpc",
        "ec2:subnet",
        "ec2:route-table",
        "ec2:security-group",
        "ec2:vpc-endpoint",
        "elasticache:cluster",
        "elasticache:subnetgroup",
        "elasticache:parametergroup",
        "ecr:repository",
        "logs:log-group",
        f"sqs:{name}-failures",
        f"s3:{bucket_of(name)}",
    } == kinds


def test_a_policy_that_demands_tls_lets_this_machine_pass(service, deploy, name):
    """All connections here stand for encrypted ones: the bucket can be used."""
    deploy(name)

    service("s3").put_object(Bucket=bucket_of(name), Key="data/x", Body=b"1")

    assert b"1" == service("s3").get_object(Bucket=bucket_of(name), Key="data/x")["Body"].read()


def test_the_same_again_is_no_change(cloudformation, deploy, name):
    """A change set of what is there already fails with AWS's words, and can be deleted."""
    deploy(name)
    change_set = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="again",
        ChangeSetType="UPDATE",
        TemplateBody=load_template(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()],
        Capabilities=["CAPABILITY_IAM"],
    )["Id"]

    described = cloudformation.describe_change_set(ChangeSetName=change_set)
    cloudformation.delete_change_set(ChangeSetName=change_set)

    assert ("FAILED", "UNAVAILABLE", []) == (
        described["Status"],
        described["ExecutionStatus"],
        described.get("Changes", []),
    )
    assert "didn't contain changes" in described["StatusReason"]


def test_an_update_changes_what_differs_and_nothing_else(service, cloudformation, deploy, name):
    """New values arrive in place; all resources stay the ones they were."""
    deploy(name)
    ids = physical_ids(cloudformation, name)
    count = len(events(cloudformation, name))

    stack = deploy(name, "UPDATE", LogRetentionDays="30", Project="another")

    changed = {event[0] for event in events(cloudformation, name)[count:]}
    assert "UPDATE_COMPLETE" == stack["StackStatus"]
    assert ids == physical_ids(cloudformation, name)
    assert {30} == {group["retentionInDays"] for group in service("logs").describe_log_groups()["logGroups"]}
    assert "SubnetARoutes" not in changed
    (vpc,) = service("ec2").describe_vpcs(VpcIds=[ids["Vpc"]])["Vpcs"]
    assert {"Key": "lambda-harness:project", "Value": "another"} in vpc["Tags"]


def physical_ids(cloudformation, name):
    """Physical ids by logical ones."""
    resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}


def test_a_replacement_comes_first_and_the_old_one_goes_last(service, cloudformation, deploy, name):
    """What cannot be changed is made anew, what refers to it follows, and then the old one is deleted."""
    body = {
        "Parameters": {"Cidr": {"Type": "String", "Default": "10.1.1.0/24"}},
        "Resources": {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}},
            "Subnet": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": {"Ref": "Cidr"}},
            },
        },
    }
    deploy(name, body=json.dumps(body))
    before = physical_ids(cloudformation, name)
    body["Parameters"]["Cidr"]["Default"] = "10.1.2.0/24"

    deploy(name, "UPDATE", body=json.dumps(body))

    after = physical_ids(cloudformation, name)
    of_vpc = [{"Name": "vpc-id", "Values": [after["Vpc"]]}]
    subnets = service("ec2").describe_subnets(Filters=of_vpc)["Subnets"]
    assert before["Vpc"] == after["Vpc"]
    assert before["Subnet"] != after["Subnet"]
    assert [after["Subnet"]] == [subnet["SubnetId"] for subnet in subnets]


@pytest.mark.parametrize(("policy", "left"), [("Delete", ["new"]), ("Retain", ["new", "old"])])
def test_what_is_replaced_goes_unless_it_is_retained(service, deploy, name, policy, left):
    """`UpdateReplacePolicy` decides about the old one."""
    sqs = service("sqs")
    for suffix, kind in (("old", "CREATE"), ("new", "UPDATE")):
        queue = {
            "Type": "AWS::SQS::Queue",
            "UpdateReplacePolicy": policy,
            "Properties": {"QueueName": f"{name}-{suffix}"},
        }
        deploy(name, kind, body=json.dumps({"Resources": {"Queue": queue}}))

    urls = sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
    if policy == "Retain":
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=f"{name}-old")["QueueUrl"])

    assert left == sorted(url.rpartition("-")[2] for url in urls)


def test_a_creation_that_fails_is_rolled_back(service, cloudformation, deploy, name, plan):
    """The resource and the cause are in the events; nothing is left; the stack can only be deleted; then it works."""
    plan({"resources": {"Cache": "There is no capacity for this node type."}})

    stack = deploy(name)

    failed = [event for event in events(cloudformation, name) if event[1] == "CREATE_FAILED"]
    assert "ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert "Cache" == failed[0][0]
    assert "There is no capacity for this node type." in failed[0][2]
    assert not any(everything(service).values())
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        deploy(name, "UPDATE")
    with pytest.raises(ClientError, match="already exists"):
        deploy(name)
    plan({})
    cloudformation.delete_stack(StackName=name)
    assert wait_until(lambda: not stacks(cloudformation, name), 60)
    assert "CREATE_COMPLETE" == deploy(name)["StackStatus"]


def test_what_fails_half_way_leaves_nothing(service, cloudformation, deploy, name):
    """A group whose rules are refused exists by then: it is deleted, and so is what it depends on."""
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.2.0.0/16"}}
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "DestinationSecurityGroupId": "sg-0123456789abcdef0"}
    group = {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "any", "VpcId": {"Ref": "Vpc"}, "SecurityGroupEgress": [rule]},
    }

    stack = deploy(name, body=json.dumps({"Resources": {"Vpc": vpc, "Group": group}}))

    assert "ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert ("Group", True) in {(event[0], "sg-0123456789abcdef0" in event[2]) for event in events(cloudformation, name)}
    assert not any(everything(service).values())


def test_an_update_that_fails_is_rolled_back(service, cloudformation, deploy, name):
    """A node type cannot be changed in place, as on AWS; what was changed before it is changed back."""
    deploy(name)

    stack = deploy(name, "UPDATE", CacheNodeType="cache.t3.medium", LogRetentionDays="30")

    (failed,) = [event for event in events(cloudformation, name) if event[1] == "UPDATE_FAILED"]
    assert "UPDATE_ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert "Cache" == failed[0]
    assert "not supported" in failed[2]
    assert {14} == {group["retentionInDays"] for group in service("logs").describe_log_groups()["logGroups"]}
    assert "cache.t3.micro" in {
        parameter["ParameterValue"] for parameter in stack["Parameters"] if parameter["ParameterKey"] == "CacheNodeType"
    }
    assert "UPDATE_COMPLETE" == deploy(name, "UPDATE", LogRetentionDays="30")["StackStatus"]


def test_a_bucket_with_data_stays_and_so_does_its_stack(service, cloudformation, deploy, name, empty):
    """The deletion fails with S3's reason, the rest is gone; emptied, it succeeds."""
    deploy(name)
    service("s3").put_object(Bucket=bucket_of(name), Key="data/x", Body=b"1")

    cloudformation.delete_stack(StackName=name)
    stack = settled(cloudformation, name)

    assert "DELETE_FAILED" == stack["StackStatus"]
    assert "[DataBucket]" in stack["StackStatusReason"]
    assert ("DataBucket", True) in {
        (event[0], "not empty" in event[2]) for event in events(cloudformation, name) if event[1] == "DELETE_FAILED"
    }
    assert {"DataBucket"} == set(physical_ids(cloudformation, name))
    empty(name)
    cloudformation.delete_stack(StackName=name)
    assert wait_until(lambda: not stacks(cloudformation, name), 60)


def test_a_bucket_name_that_is_taken_ends_the_creation(service, cloudformation, deploy, name):
    """Even in us-east-1, where S3 itself would not mind."""
    service("s3").create_bucket(Bucket=bucket_of(name))

    stack = deploy(name)
    failed = next(event for event in events(cloudformation, name) if event[1] == "CREATE_FAILED")
    still_there = [bucket["Name"] for bucket in service("s3").list_buckets()["Buckets"]]
    service("s3").delete_bucket(Bucket=bucket_of(name))

    assert "ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert ("DataBucket", True) == (failed[0], "already exists" in failed[2])
    assert bucket_of(name) in still_there


def test_what_takes_time_is_in_progress_meanwhile(cloudformation, deploy, name, plan):
    """A stack shows what it has so far, no outputs yet, and cannot be changed."""
    plan({"resource_s": SLOW_S})
    deploy(name, wait=False)

    (stack,) = stacks(cloudformation, name)
    assert wait_until(lambda: any(event[1] == "CREATE_COMPLETE" for event in events(cloudformation, name)), 60)
    with pytest.raises(ClientError, match="CREATE_IN_PROGRESS"):
        deploy(name, "UPDATE")
    plan({})

    assert "CREATE_IN_PROGRESS" == stack["StackStatus"]
    assert "Outputs" not in stack
    assert settled(cloudformation, name)["Outputs"]


def test_a_stack_can_be_deleted_while_it_is_created(service, cloudformation, deploy, name, plan):
    """What exists by then goes, and what does not is not made any more."""
    plan({"resource_s": SLOW_S})
    deploy(name, wait=False)
    assert wait_until(lambda: any(event[1] == "CREATE_COMPLETE" for event in events(cloudformation, name)), 60)
    (stack,) = stacks(cloudformation, name)

    cloudformation.delete_stack(StackName=name)
    plan({})

    assert wait_until(lambda: not stacks(cloudformation, name), 60)
    ended = events(cloudformation, stack["StackId"])
    assert (name, "DELETE_COMPLETE") == ended[-1][:2]
    assert "ROLLBACK_IN_PROGRESS" not in {event[1] for event in ended}
    assert not any(everything(service).values())


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ({"Type": "AWS::Neptune::DBCluster"}, "AWS::Neptune::DBCluster"),
        ({"Type": "AWS::SQS::Queue", "Properties": {"Name": {"Ref": "Nobody"}}}, "Nobody"),
        ({"Type": "AWS::SQS::Queue", "Properties": {"Name": {"Ref": "Thing"}}}, "Circular"),
    ],
)
def test_templates_that_cannot_work_are_refused_at_once(deploy, cloudformation, name, definition, told):
    """A type that is not emulated is named, not reported as created; so are references that lead nowhere."""
    with pytest.raises(ClientError, match=told):
        deploy(name, body=json.dumps({"Resources": {"Thing": definition}}))

    assert not stacks(cloudformation, name)


def test_a_property_that_is_not_emulated_fails_its_resource(cloudformation, deploy, name):
    """It would otherwise be left out silently."""
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"RedrivePolicy": {"maxReceiveCount": 1}}}

    stack = deploy(name, body=json.dumps({"Resources": {"Queue": queue}}))

    assert "ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert any("RedrivePolicy" in event[2] for event in events(cloudformation, name))


def test_an_unquoted_policy_version_stays_text(service, deploy, name):
    """YAML takes `2012-10-17` for a date; CloudFormation does not, and neither does the emulation."""
    body = """
        Resources:
          Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.2.0.0/16}}
          Routes: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Vpc}}
          Endpoint:
            Type: AWS::EC2::VPCEndpoint
            Properties:
              VpcEndpointType: Gateway
              VpcId: !Ref Vpc
              RouteTableIds: [!Ref Routes]
              ServiceName: !Sub com.amazonaws.${AWS::Region}.s3
              PolicyDocument:
                Version: 2012-10-17
                Statement: [{Effect: Allow, Principal: "*", Action: "s3:*", Resource: "*"}]
    """

    stack = deploy(name, body=body)

    assert "CREATE_COMPLETE" == stack["StackStatus"]
    (endpoint,) = service("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    assert "2012-10-17" == json.loads(endpoint["PolicyDocument"])["Version"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"CacheNodes": "41"}, "CacheNodes"),
        ({"CacheItemBytes": "5"}, "CacheItemBytes"),
        ({"VpcCidr": "nonsense"}, "VpcCidr"),
        ({"Nonsense": "1"}, "Nonsense"),
        ({"BudgetUsd": "5"}, "BudgetEmail"),
    ],
)
def test_parameters_are_checked(cloudformation, deploy, name, parameters, told):
    """Those that the template does not allow, does not have, or whose rules do not hold."""
    with pytest.raises(ClientError, match=told):
        deploy(name, **parameters)

    assert not stacks(cloudformation, name)


@pytest.mark.parametrize("name_of_service", ["cloudformation", "ec2", "sts", "ecr", "sqs", "s3"])
def test_credentials_can_expire(service, plan, name_of_service):
    """Every service refuses whoever signs with them, in its own language."""
    calls = {
        "cloudformation": "describe_stacks",
        "ec2": "describe_vpcs",
        "sts": "get_caller_identity",
        "ecr": "describe_repositories",
        "sqs": "list_queues",
        "s3": "list_buckets",
    }
    client = service(name_of_service)
    call = getattr(client, calls[name_of_service])
    message = "The security token included in the request is expired"
    plan({"calls": [{"error": "ExpiredToken", "message": message, "status": 403}]})

    with pytest.raises(ClientError) as caught:
        call()
    plan({})

    assert ("ExpiredToken", message) == (
        caught.value.response["Error"]["Code"],
        caught.value.response["Error"]["Message"],
    )
    assert call()


def test_calls_are_throttled_as_often_as_planned(service, cloudformation, plan):
    """One operation of one service, the first so many times; boto3's own retries get through."""
    fault = {"error": "Throttling", "service": "cloudformation", "action": "DescribeStacks", "times": 2}
    plan({"calls": [fault]})

    assert [] == cloudformation.describe_stacks()["Stacks"]
    plan({"calls": [{**fault, "times": None}]})
    assert service("sts").get_caller_identity()["Account"] == ACCOUNT
    assert cloudformation.list_stacks()
    with pytest.raises(ClientError, match="Throttling"):
        cloudformation.describe_stacks()


def test_whatever_is_asked_first_the_stack_is_ours(tmp_path):
    """Moto makes the accounts of many services when EC2 is asked for endpoint services: they are complete, too."""
    (tmp_path / "harness.toml").write_text('[stack]\ns3 = "moto"\n', encoding="utf-8")
    with start_private_stack(load_settings(tmp_path), mode="process") as own:
        session = emulation_session(own.endpoints)
        session.client("ec2", endpoint_url=own.endpoints.aws).describe_vpc_endpoint_services()
        session.client("resourcegroupstaggingapi", endpoint_url=own.endpoints.aws).get_resources()
        cloudformation = session.client("cloudformation", endpoint_url=own.endpoints.aws)

        body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
        cloudformation.create_stack(StackName="first", TemplateBody=body)

        assert "CREATE_COMPLETE" == settled(cloudformation, "first")["StackStatus"]
        assert ("Queue", "CREATE_COMPLETE") in {event[:2] for event in events(cloudformation, "first")}
        cloudwatch = session.client("cloudwatch", endpoint_url=own.endpoints.aws)
        assert (
            []
            == cloudwatch.get_metric_statistics(
                Namespace="AWS/Lambda", MetricName="Errors", StartTime=0, EndTime=60, Period=60, Statistics=["Sum"]
            )["Datapoints"]
        )


def test_a_plan_that_makes_no_sense_is_refused(emulation):
    """A typing error breaks nothing silently."""
    body = json.dumps({"recources": {}}).encode()
    headers = authorization(emulation.endpoints.access_key)
    request = urllib.request.Request(f"{emulation.endpoints.aws}/_harness/faults", body, headers, method="PUT")

    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
