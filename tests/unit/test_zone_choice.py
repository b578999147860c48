"""Zones of a deployment: which ones are chosen, which are refused, and what the plan says about them."""

from typing import Any

import msgspec
import pytest

from harness.deploy.plan import PlannedFunction, PlannedResource, notes_of
from harness.deploy.template import load_template, with_defaults
from harness.deploy.zones import check_unmoved, check_zones, format_zones, planned_zones, region_parameters
from harness.errors import HarnessError
from harness.presets.prices import load_prices

GIVEN = {"AvailabilityZones": "us-east-1b,us-east-1d", "S3PrefixListId": "pl-63a5400a"}
# Names of zones are shuffled per account; their IDs are not.
ZONES = {"us-east-1a": "use1-az3", "us-east-1b": "use1-az1", "us-east-1c": "use1-az2", "us-east-1d": "use1-az4"}


class Ec2Session(msgspec.Struct):
    """A session whose EC2 answers with given zones; the client's calls are AWS's."""

    zones: dict[str, str] = msgspec.field(default_factory=ZONES.copy)
    offered: list[str] = msgspec.field(default_factory=lambda: ["us-east-1a", "us-east-1b", "us-east-1d"])
    with_type: dict[str, list[str]] = msgspec.field(default_factory=dict)
    region: str = "us-east-1"

    def client(self, service: str, **_options: object):
        """EC2."""
        assert service == "ec2"
        return self

    @property
    def meta(self):
        """What the client knows of itself."""
        return msgspec.defstruct("Meta", [("region_name", str)])(self.region)

    def describe_availability_zones(self, **_options: object):
        """All zones."""
        return {"AvailabilityZones": [{"ZoneName": name, "ZoneId": ident} for name, ident in self.zones.items()]}

    def describe_vpc_endpoint_services(self, **_options: object):
        """Lambda's endpoint."""
        return {"ServiceDetails": [{"AvailabilityZones": self.offered}]}

    def describe_managed_prefix_lists(self, **_options: object):
        """S3's prefix list."""
        return {"PrefixLists": [{"PrefixListId": "pl-63a5400a"}]}

    def get_paginator(self, operation: str):
        """Pages of the zones in which a type of instances is offered."""
        assert operation == "describe_instance_type_offerings"
        return self

    def paginate(self, **given: Any):
        """One page."""
        (kind,) = given["Filters"][0]["Values"]
        yield {"InstanceTypeOfferings": [{"Location": zone} for zone in self.with_type.get(kind, [])]}


def parameters(**changed: str) -> dict[str, str]:
    """The value of every parameter."""
    return with_defaults(load_template(), {**GIVEN, **changed})


def test_zones_without_lambda_are_left_out_whatever_their_name():
    """A zone is known by its ID, and by whether it has Lambda's endpoint."""
    assert region_parameters(Ec2Session()) == GIVEN


def test_the_first_zone_offers_the_caches_node_type():
    """The cache is in the first zone, so the zone without such nodes is the second."""
    session = Ec2Session(with_type={"r7g.large": ["us-east-1a", "us-east-1d"]})

    chosen = region_parameters(session, node_type="cache.r7g.large")

    assert chosen["AvailabilityZones"] == "us-east-1d,us-east-1b"


def test_a_type_that_ec2_does_not_know_excludes_no_zone():
    """ElastiCache has older types than EC2."""
    assert region_parameters(Ec2Session(), node_type="cache.m1.old") == GIVEN


def test_a_node_type_that_no_zone_with_lambda_offers_is_refused():
    """It is reported before a stack waits for minutes, with the zones of both."""
    session = Ec2Session(with_type={"r7g.large": ["us-east-1a", "us-east-1c"]})

    with pytest.raises(HarnessError, match=r"no zone of us-east-1 .* offers cache.r7g.large") as caught:
        region_parameters(session, node_type="cache.r7g.large")

    assert "us-east-1a, us-east-1c" in caught.value.where
    assert "CacheNodeType" in caught.value.remedy


def test_a_region_with_one_zone_is_refused():
    """Two subnets need two zones."""
    with pytest.raises(HarnessError, match="has 1 zones"):
        region_parameters(Ec2Session(offered=["us-east-1b"]))


def test_a_zone_that_the_region_lacks_is_refused():
    """With those that it has."""
    given = {"AvailabilityZones": "us-east-1a,us-east-1z"}

    with pytest.raises(HarnessError, match="no zone us-east-1z in us-east-1") as caught:
        check_zones(Ec2Session(), parameters(**given), given)

    assert "us-east-1a, us-east-1b" in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "zone"),
    [
        ({"AvailabilityZones": "us-east-1a,us-east-1b"}, "us-east-1a"),
        ({"AvailabilityZones": "us-east-1b,us-east-1c", "PrimaryZone": "2"}, "us-east-1c"),
        ({"AvailabilityZones": "us-east-1b,us-east-1a", "FunctionZones": "all"}, "us-east-1a"),
    ],
)
def test_functions_are_not_placed_where_lambda_is_not_offered(given: dict[str, str], zone: str):
    """Neither by the zones' order nor by the choice of the second or of both."""
    with pytest.raises(HarnessError, match=f"functions would be in {zone}") as caught:
        check_zones(Ec2Session(), parameters(**given), given)

    assert "us-east-1b, us-east-1d" in caught.value.remedy


def test_the_other_zone_may_lack_lambda():
    """With one zone for the functions, the other one only completes the cache's subnet group."""
    given = {"AvailabilityZones": "us-east-1b,us-east-1a"}

    assert check_zones(Ec2Session(), parameters(**given), given) == ""


def test_a_zone_that_may_lack_the_node_type_is_a_warning():
    """What EC2 offers is no proof of what ElastiCache offers."""
    given = {"PrimaryZone": "2"}

    warning = check_zones(Ec2Session(with_type={"t3.micro": ["us-east-1b"]}), parameters(**given), given)

    assert "EC2 offers no t3.micro in us-east-1d" in warning
    assert "EC2 has it in us-east-1b" in warning


def test_an_unchanged_placement_is_not_checked():
    """A deployment is not refused while the region reports its zone as unavailable."""
    assert check_zones(Ec2Session(zones={}), parameters(), {"CacheNodes": "2"}) == ""


@pytest.mark.parametrize("new", ["us-east-1d,us-east-1b", "us-east-1b,us-east-1c"])
def test_the_zones_of_a_stack_cannot_be_changed(new: str):
    """Its cache is in one of the subnets that would be replaced; the error names the way that works."""
    with pytest.raises(HarnessError, match="cannot be moved") as caught:
        check_unmoved(GIVEN, {"AvailabilityZones": new})

    assert "PrimaryZone" in caught.value.remedy


def test_the_zones_of_a_stack_may_be_repeated():
    """A script that always names them deploys again."""
    check_unmoved(GIVEN, {"AvailabilityZones": "us-east-1b, us-east-1d"})
    check_unmoved(GIVEN, {"CacheNodes": "2"})


def test_the_plan_names_the_zone_and_the_way_out_of_it():
    """By its name and by the ID that is the same in every account."""
    zones = planned_zones(parameters(PrimaryZone="2"), {"us-east-1d": "use1-az4"})

    text = "\n".join(format_zones(zones))

    assert zones.functions == ["us-east-1d"]
    assert "zone us-east-1d (use1-az4): cache and functions" in text
    assert "if us-east-1d is lost" in text
    assert "to move cache and functions to us-east-1b: --parameter PrimaryZone=1" in text


def test_a_template_without_parameters_for_zones_has_one_zone():
    """Somebody's own template, with their own subnets."""
    less = {key: value for key, value in parameters().items() if key not in {"PrimaryZone", "FunctionZones"}}

    zones = planned_zones(less, {})

    assert ["us-east-1b"] == [zones.cache] == zones.functions
    assert check_zones(Ec2Session(), less, {"CacheNodeType": "cache.t3.micro"}) == ""


def test_the_plan_says_what_two_zones_cost():
    """In time and in money."""
    zones = planned_zones(parameters(FunctionZones="all"), {}, load_prices("us-east-1"))

    text = "\n".join(format_zones(zones))

    assert "the cache in us-east-1b, functions in us-east-1b and us-east-1d" in text
    assert "1.66 ms in place of 0.66" in text
    assert "0.01 USD per GB each way" in text


def test_a_replaced_cache_and_moved_functions_are_noted():
    """Whoever agrees to the plan knows that runs in progress fail."""
    cache = PlannedResource("Cache", "AWS::ElastiCache::CacheCluster", "replace", 0.017, "")
    moved = PlannedFunction("linear_ec_2", ["VpcConfig", "version and alias live"])

    notes = notes_of([cache], [moved, PlannedFunction("linear_ec_1", ["Timeout"])])

    assert len(notes) == 2
    assert "runs in progress fail" in notes[0]
    assert "linear_ec_2" in notes[1]
    assert "linear_ec_1" not in notes[1]
    assert notes_of([msgspec.structs.replace(cache, action="update")], []) == []
