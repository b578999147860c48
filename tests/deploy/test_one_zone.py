"""One zone: where the template's resources are in the emulation, and how a deployment of two zones gets there."""

import base64
import hashlib
import json

import pytest
from botocore.exceptions import ClientError

from harness.aws.function_deployer import Code, DesiredFunction, create_or_update, pending
from harness.deploy import functions, stack
from harness.deploy.destroy import DestroyRequest, destroy
from harness.deploy.intrinsics import parse
from harness.deploy.plan import notes_of, plan_resources
from harness.deploy.run_target import deployed_run_target
from harness.deploy.template import describe, load_template, with_defaults
from harness.deploy.zones import region_parameters
from harness.errors import HarnessError
from harness.presets.zones import CACHE_ZONE, ZONES
from harness.runs.functions import package
from harness.settings import FunctionSettings, load_settings
from tests.support.functions import HANDLERS

NEW = ("PrimaryZone", "FunctionZones")


def of_two_zones(body: str) -> str:
    """The template as it was: functions and endpoint in both zones, and the cache where ElastiCache chooses."""
    template = parse(body)
    subnets = [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}]
    resources = template["Resources"]
    resources["LambdaEndpoint"]["Properties"]["SubnetIds"] = subnets
    template["Outputs"]["SubnetIds"]["Value"] = {"Fn::Join": [",", subnets]}
    del resources["Cache"]["Properties"]["PreferredAvailabilityZone"]
    del resources["CacheSubnets"]["Properties"]["CacheSubnetGroupName"]
    del template["Outputs"]["CacheZone"]
    for name in NEW:
        del template["Parameters"][name]
    for name in ("InSecondZone", "InAllZones"):
        del template["Conditions"][name]
    return json.dumps(template)


@pytest.fixture(scope="module")
def body():
    """The template."""
    return load_template()


@pytest.fixture(scope="module")
def parameters(target, body):
    """The value of every parameter."""
    return with_defaults(body, region_parameters(target.session, target.endpoint("ec2"), "cache.t3.micro"))


@pytest.fixture(scope="module")
def cfn(target):
    """CloudFormation."""
    return target.client("cloudformation")


@pytest.fixture
def change(cfn, name, body, parameters, target):
    """Brings the stack to a template, and returns it with the changes by resource; nothing is left at the end."""

    def change_stack(template=body, **changed):
        given = {key: value for key, value in {**parameters, **changed}.items() if key in parse(template)["Parameters"]}
        found = stack.read_stack(cfn, name)
        tags = functions.tags_of("test", name)
        change_set = stack.propose(cfn, name, found, template, given, tags)
        steps = {each.logical_id: each.action for each in change_set.changes}
        return stack.execute(cfn, change_set, _silent), steps

    yield change_stack
    destroy(target, load_settings(), DestroyRequest(name, empty=True), log=_silent, agree=lambda _: True)


@pytest.fixture
def function(target, name):
    """Describes a function that is in the network of a stack."""
    settings = FunctionSettings(source=HANDLERS, handler="ask_metadata.handler", timeout_s=60)
    code = package(settings)

    def of_stack(found):
        tags = functions.tags_of("test", name)
        placement = functions.placement_of(found, "linear_ec_2", tags)
        return DesiredFunction(f"of-{name}", settings, Code(_sha256(code), {"ZipFile": code}), placement)

    yield of_stack
    functions.remove(target.client("lambda"), f"of-{name}", _silent)


def test_functions_endpoint_and_cache_are_in_one_zone(target, cfn, name, change, function):
    """As the services report it: one subnet, in the zone of the cache's nodes."""
    made, _ = change()
    create_or_update(target.client("lambda"), function(made))

    configuration = target.client("lambda").get_function_configuration(FunctionName=f"of-{name}")
    (subnet,) = configuration["VpcConfig"]["SubnetIds"]
    assert functions.physical_ids(cfn, made)["SubnetA"] == subnet
    (described,) = target.client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert CACHE_ZONE == described["AvailabilityZoneId"]
    assert [subnet] == _endpoint(target, cfn, made)["SubnetIds"]
    cache = _cache(target, cfn, made)
    assert described["AvailabilityZone"] == cache["PreferredAvailabilityZone"] == made.outputs["CacheZone"]
    assert {described["AvailabilityZone"]} == {node["CustomerAvailabilityZone"] for node in cache["CacheNodes"]}
    told = []
    assert CACHE_ZONE == deployed_run_target(target, name, told.append).cache_zone
    assert [] == told
    assert CACHE_ZONE == _zone_told(target, name)


def test_whoever_may_not_describe_zones_runs_without_the_caches(target, name, change, faults):
    """A name instead of the ID would be another zone than every function's."""
    change()
    faults(calls=[{"service": "ec2", "error": "UnauthorizedOperation", "message": "not authorized", "status": 403}])

    assert "" == deployed_run_target(target, name, _silent).cache_zone


def test_a_deployment_of_two_zones_is_moved_into_one(target, cfn, name, body, parameters, change, function):
    """The cache is replaced, the endpoint and the functions change in place; the plan says so before."""
    lambda_ = target.client("lambda")
    before, _ = change(of_two_zones(body))
    create_or_update(lambda_, function(before))
    old_cache, old_endpoint = _cache(target, cfn, before), _endpoint(target, cfn, before)
    told = []
    deployed_run_target(target, name, told.append)
    after = functions.with_planned_subnets(before, body, parameters, functions.physical_ids(cfn, before))
    moves = [step.what for step in pending(lambda_, function(after))]

    made, steps = change()
    create_or_update(lambda_, function(made))

    assert "two zones" in told[0]
    assert "1.66 ms" in told[0]
    assert "VpcConfig" in moves[0]
    assert {"Cache": "replace", "CacheSubnets": "replace", "LambdaEndpoint": "update"} == steps
    assert old_cache["CacheClusterId"] != _cache(target, cfn, made)["CacheClusterId"]
    assert parameters["AvailabilityZones"].split(",")[0] == _cache(target, cfn, made)["PreferredAvailabilityZone"]
    assert old_endpoint["VpcEndpointId"] == _endpoint(target, cfn, made)["VpcEndpointId"]
    assert made.outputs["SubnetIds"] == after.outputs["SubnetIds"]
    configuration = lambda_.get_function_configuration(FunctionName=f"of-{name}")
    assert [made.outputs["SubnetIds"]] == configuration["VpcConfig"]["SubnetIds"]
    clusters = target.client("elasticache").describe_cache_clusters()["CacheClusters"]
    assert old_cache["CacheClusterId"] not in {each["CacheClusterId"] for each in clusters}


def test_cache_and_functions_move_to_the_other_zone_and_back(target, cfn, name, body, parameters, change, function):
    """What a user does when a zone is lost: bucket and subnets stay."""
    first, _ = change()
    ids = functions.physical_ids(cfn, first)
    moved, steps = change(PrimaryZone="2")
    cache = _cache(target, cfn, moved)
    create_or_update(target.client("lambda"), function(moved))
    zone = _zone_told(target, name)
    assert ZONES[1] == zone == deployed_run_target(target, name, _silent).cache_zone
    configuration = target.client("lambda").get_function_configuration(FunctionName=f"of-{name}")
    back, _ = change()

    assert {"Cache", "CacheSubnets", "LambdaEndpoint"} == steps.keys()
    assert parameters["AvailabilityZones"].split(",")[1] == cache["PreferredAvailabilityZone"]
    assert [ids["SubnetB"]] == configuration["VpcConfig"]["SubnetIds"]
    planned = plan_resources(describe(body), parameters, None, exists=True, change_set=None)
    assert [] == notes_of(planned, [])
    assert first.outputs == back.outputs
    same = ("Vpc", "SubnetA", "SubnetB", "LambdaEndpoint", "DataBucket")
    assert [ids[name] for name in same] == [functions.physical_ids(cfn, back)[name] for name in same]


def test_a_move_into_a_zone_without_capacity_changes_nothing(target, cfn, name, change, faults):
    """The new cache comes before the old one goes, so that the deployment stays usable where it is."""
    first, _ = change()
    before = functions.physical_ids(cfn, first)
    faults(resources={"Cache": "There is no capacity for this node type."})

    with pytest.raises(HarnessError, match="There is no capacity"):
        change(PrimaryZone="2")

    faults()
    after = stack.read_stack(cfn, name)
    assert after.stands
    assert first.outputs == after.outputs
    assert before == functions.physical_ids(cfn, after)
    assert [before["SubnetA"]] == _endpoint(target, cfn, after)["SubnetIds"]
    assert 1 == len(_clusters_of(target, name))


def test_a_move_does_not_wait_for_a_zone_that_is_lost(target, cfn, name, parameters, change, faults):
    """The old cache cannot be deleted: it is left behind, and the new one is used."""
    change()
    faults(undeletable={"Cache": "The Availability Zone does not respond."})

    moved, _ = change(PrimaryZone="2")

    faults()
    assert parameters["AvailabilityZones"].split(",")[1] == _cache(target, cfn, moved)["PreferredAvailabilityZone"]
    left = _clusters_of(target, name) - {_cache(target, cfn, moved)["CacheClusterId"]}
    assert 1 == len(left)
    target.client("elasticache").delete_cache_cluster(CacheClusterId=left.pop())


def test_functions_do_not_wait_for_what_is_replaced(target, cfn, name, body, parameters, change, faults):
    """As soon as the new cache is there, the stack is usable; the old one may take as long as it takes."""
    first, _ = change()
    given, tags = {**parameters, "PrimaryZone": "2"}, functions.tags_of("test", name)
    change_set = stack.propose(cfn, name, first, body, given, tags)
    faults(deletion_s=300)

    usable = stack.execute(cfn, change_set, _silent, cleanup=False)
    run_target = deployed_run_target(target, name, _silent)
    clusters = _clusters_of(target, name)
    faults()
    ended = stack.settled(cfn, name, _silent)

    assert stack.CLEANUP == usable.status
    assert [functions.physical_ids(cfn, usable)["SubnetB"]] == usable.outputs["SubnetIds"].split(",")
    assert ZONES[1] == run_target.cache_zone
    assert 2 == len(clusters)
    assert "UPDATE_COMPLETE" == ended.status
    assert 1 == len(_clusters_of(target, name))


def test_all_zones_are_where_functions_and_endpoint_are(target, cfn, name, change):
    """With `--zones all`; the cache stays where it was, and a run has no warning about the user's choice."""
    one, _ = change()
    cache = _cache(target, cfn, one)["CacheClusterId"]

    both, steps = change(FunctionZones="all")

    told = []
    deployed_run_target(target, name, told.append)
    assert {"LambdaEndpoint": "update"} == steps
    assert 2 == len(both.outputs["SubnetIds"].split(","))
    assert set(both.outputs["SubnetIds"].split(",")) == set(_endpoint(target, cfn, both)["SubnetIds"])
    assert cache == _cache(target, cfn, both)["CacheClusterId"]
    assert [] == told


def test_a_cache_in_a_zone_without_a_subnet_is_refused(target, cfn, change):
    """As ElastiCache refuses it."""
    made, _ = change()
    elasticache = target.client("elasticache")
    group = _cache(target, cfn, made)["CacheSubnetGroupName"]

    with pytest.raises(ClientError, match="no subnet in the Availability Zone us-east-1f"):
        elasticache.create_cache_cluster(
            CacheClusterId="elsewhere",
            Engine="memcached",
            CacheNodeType="cache.t3.micro",
            NumCacheNodes=1,
            CacheSubnetGroupName=group,
            PreferredAvailabilityZone="us-east-1f",
        )


def _zone_told(target, name):
    """The zone that a function learns from Lambda's metadata endpoint."""
    answer = json.load(target.client("lambda").invoke(FunctionName=f"of-{name}", Payload=b"{}")["Payload"])
    return json.loads(answer["body"])["AvailabilityZoneID"]


def _cache(target, cfn, found):
    identity = functions.physical_ids(cfn, found)["Cache"]
    elasticache = target.client("elasticache")
    (cluster,) = elasticache.describe_cache_clusters(CacheClusterId=identity, ShowCacheNodeInfo=True)["CacheClusters"]
    return cluster


def _clusters_of(target, name):
    """The clusters of a stack, also those that no longer belong to it."""
    pages = target.client("resourcegroupstaggingapi").get_paginator("get_resources")
    tagged = {"TagFilters": [{"Key": "lambda-harness:stack", "Values": [name]}]}
    arns = [entry["ResourceARN"] for page in pages.paginate(**tagged) for entry in page["ResourceTagMappingList"]]
    return {arn.rpartition(":")[2] for arn in arns if ":cluster:" in arn}


def _endpoint(target, cfn, found):
    identity = functions.physical_ids(cfn, found)["LambdaEndpoint"]
    (endpoint,) = target.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[identity])["VpcEndpoints"]
    return endpoint


def _sha256(code):
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def _silent(_line):
    pass
