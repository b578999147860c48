"""Zones: choose those that a deployment can use, and say what its placement costs.

The cache is in one zone: in the first of `AvailabilityZones`, or in the second if `PrimaryZone` is 2.
Functions are in the cache's zone, because every synchronous round waits for the slowest round trip to the cache; with
`FunctionZones=all` they are in both.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from harness.aws.errors import aws_settings
from harness.aws.stack_session import DIRECT
from harness.errors import HarnessError
from harness.presets.preset import load_preset
from harness.presets.prices import Prices

if TYPE_CHECKING:
    import boto3

# A zone has the same ID in all accounts, but not the same name.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
_ZONES_WITHOUT_LAMBDA = {"use1-az3"}
# The parameters on which the placement depends.
_PLACEMENT = ("AvailabilityZones", "PrimaryZone", "FunctionZones", "CacheNodeType")


class PlannedZones(msgspec.Struct, frozen=True):
    """The placement of the cache and of the functions.

    Attributes:
        primary: The place of the cache's zone in `AvailabilityZones`: 1 or 2.
        cache: Its name.
        cache_id: Its ID, which is the same in all accounts; empty if not known.
        functions: The names of the functions' zones.
        other: The name of the zone that is not the cache's.
        usd_per_gb: The price of traffic between them, each way; None if it is not known.
    """

    primary: int
    cache: str
    cache_id: str
    functions: list[str]
    other: str
    usd_per_gb: float | None


def planned_zones(
    parameters: Mapping[str, str], identities: Mapping[str, str], prices: Prices | None = None
) -> PlannedZones:
    """Return the placement that the template's parameters describe.

    Args:
        parameters: The value of every parameter.
        identities: The IDs of the region's zones by name, from `zone_ids`.
        prices: The region's prices; None if they are not known.
    """
    # A template of the user's own may lack the parameters of the placement.
    zones, primary = names_of(parameters["AvailabilityZones"]), int(parameters.get("PrimaryZone", "1"))
    cache, other = zones[primary - 1], zones[2 - primary]
    functions = zones if parameters.get("FunctionZones") == "all" else [cache]
    return PlannedZones(primary, cache, identities.get(cache, ""), functions, other, prices.zone_gb if prices else None)


def names_of(zones: str) -> list[str]:
    """Return the names in a list of zones with commas between them."""
    return [zone.strip() for zone in zones.split(",")]


def zone_ids(ec2: Any) -> dict[str, str]:  # noqa: ANN401 - its stubs are not installed
    """Return the IDs of the region's zones by name."""
    return {zone["ZoneName"]: zone["ZoneId"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}


def cost_of_another_zone(usd_per_gb: float | None = None) -> str:
    """Return what a function in another zone than the cache costs, in words.

    Args:
        usd_per_gb: The price of traffic between zones, each way; None if it is not known.
    """
    preset = load_preset()
    return (
        f"a round trip takes {preset.typical('store_latency_other_zone'):.2f} ms in place of "
        f"{preset.typical('store_latency'):.2f}, every synchronous round waits for it, and traffic between zones "
        + ("is billed" if usd_per_gb is None else f"costs {usd_per_gb:g} USD per GB each way")
    )


def format_zones(zones: PlannedZones) -> Iterator[str]:
    """Format the placement for a terminal, line by line, with the effect of a zone's loss."""
    cache = f"{zones.cache} ({zones.cache_id})" if zones.cache_id else zones.cache
    if zones.functions == [zones.cache]:
        yield f"zone {cache}: cache and functions"
    else:
        yield f"zones: the cache in {cache}, functions in {' and '.join(zones.functions)}"
        yield f"  from {zones.other}, {cost_of_another_zone(zones.usd_per_gb)}"
    yield f"  if {zones.cache} is lost, runs fail, and new ones wait until it is back; data and results stay in S3"
    yield f"  to move cache and functions to {zones.other}: --parameter PrimaryZone={3 - zones.primary}"


def region_parameters(session: "boto3.Session", endpoint_url: str | None = None, node_type: str = "") -> dict[str, str]:
    """Return the template's parameters about the session's region: two zones, and S3's prefix list.

    An existing stack keeps its values (`UsePreviousValue`), because other zones would replace its subnets.

    Args:
        session: A session with region and credentials.
        endpoint_url: The URL of EC2, if not AWS's.
        node_type: The cache's node type, which the first zone offers; empty for any.

    Raises:
        HarnessError: The region has too few suitable zones, or no prefix list.
        botocore.exceptions.ClientError: EC2 refused the call.
    """
    with aws_settings():
        ec2: Any = session.client("ec2", endpoint_url=endpoint_url, config=DIRECT if endpoint_url else None)
    region: str = ec2.meta.region_name
    zones = _choose(ec2, region, node_type)
    return {"AvailabilityZones": ",".join(zones), "S3PrefixListId": _s3_prefix_list(ec2, region)}


def check_unmoved(current: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Check that an existing stack keeps its zones: its subnets cannot be replaced while the cache is in one of them.

    Args:
        current: The stack's parameters.
        given: The parameters that the user gave.

    Raises:
        HarnessError: The zones, or their order, differ.
    """
    old, new = current.get("AvailabilityZones", ""), given.get("AvailabilityZones", "")
    if new and names_of(new) != names_of(old):
        raise HarnessError(
            f"the stack's subnets are in {old}, and cannot be moved to {new}",
            "parameter AvailabilityZones",
            "use the stack's other zone: --parameter PrimaryZone=1 or 2; for any other, `harness destroy`, then deploy",
        )


def check_zones(ec2: Any, parameters: Mapping[str, str], given: Mapping[str, str]) -> str:  # noqa: ANN401 - as above
    """Check the zones that functions and cache would use, if the user chose any of them.

    Args:
        ec2: An EC2 client for the region.
        parameters: The value of every parameter.
        given: The parameters that the user gave.

    Returns:
        A warning; empty if there is nothing to say.

    Raises:
        HarnessError: The region does not have one of the zones, or Lambda is not offered in one that functions use.
        botocore.exceptions.ClientError: EC2 refused the call.
    """
    if not given.keys() & set(_PLACEMENT):
        return ""
    region, wanted = ec2.meta.region_name, parameters["AvailabilityZones"]
    found = ec2.describe_availability_zones()["AvailabilityZones"]
    present = {zone["ZoneName"] for zone in found}
    for zone in names_of(wanted):
        if zone not in present:
            raise HarnessError(
                f"parameter AvailabilityZones is {wanted!r}: there is no zone {zone} in {region}",
                remedy=f"take two of {', '.join(sorted(present))}",
            )
    planned, fit = planned_zones(parameters, {}), _with_lambda(ec2, region, found)
    for zone in planned.functions:
        if zone not in fit:
            raise HarnessError(
                f"functions would be in {zone}, which does not offer Lambda and its interface endpoint",
                f"with {', '.join(f'{name}={parameters[name]}' for name in _PLACEMENT[:3] if name in parameters)}",
                f"take zones of {', '.join(fit) or 'another region'}",
            )
    node_type = parameters["CacheNodeType"]
    offering = _with_node_type(ec2, node_type)
    if not offering or planned.cache in offering:
        return ""
    return (
        f"EC2 offers no {_instance_type(node_type)} in {planned.cache}, so ElastiCache may have no {node_type} there; "
        f"EC2 has it in {', '.join(sorted(offering))}"
    )


def _choose(ec2: Any, region: str, node_type: str) -> Sequence[str]:  # noqa: ANN401 - as above
    """Return two zones: the first offers Lambda, its endpoint and the node type, the second at least the former two."""
    available = ec2.describe_availability_zones(Filters=[{"Name": "state", "Values": ["available"]}])
    fit = _with_lambda(ec2, region, available["AvailabilityZones"])
    if len(fit) < 2:
        raise HarnessError(
            f"region {region} has {len(fit)} zones with Lambda and its interface endpoint, needed are 2",
            f"available: {', '.join(fit) or 'none'}",
            "take another region, or name two zones: --parameter AvailabilityZones=...",
        )
    offering = _with_node_type(ec2, node_type) if node_type else set()
    if offering and not offering & set(fit):
        raise HarnessError(
            f"no zone of {region} with Lambda and its interface endpoint offers {node_type}",
            f"EC2 has {_instance_type(node_type)} in {', '.join(sorted(offering))}, Lambda is in {', '.join(fit)}",
            "choose another node type: --parameter CacheNodeType=...",
        )
    return sorted(fit, key=lambda zone: (bool(offering) and zone not in offering, zone))[:2]


def _with_lambda(ec2: Any, region: str, zones: list[dict[str, Any]]) -> list[str]:  # noqa: ANN401 - as above
    """Return the names of the zones that offer Lambda and its interface endpoint, in alphabetical order."""
    service = f"com.amazonaws.{region}.lambda"
    try:
        details = ec2.describe_vpc_endpoint_services(ServiceNames=[service])["ServiceDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidServiceName":
            raise
        details = []
    offered = {zone for detail in details for zone in detail["AvailabilityZones"]}
    return sorted(
        zone["ZoneName"]
        for zone in zones
        if zone["ZoneName"] in offered and zone["ZoneId"] not in _ZONES_WITHOUT_LAMBDA
    )


def _with_node_type(ec2: Any, node_type: str) -> set[str]:  # noqa: ANN401 - as above
    """Return the zones that offer a node type; empty if that cannot be told.

    ElastiCache has no call for this. Its nodes are EC2 instances of the type in their name.
    """
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [_instance_type(node_type)]}]
    )
    return {offering["Location"] for page in pages for offering in page["InstanceTypeOfferings"]}


def _instance_type(node_type: str) -> str:
    return node_type.removeprefix("cache.")


def _s3_prefix_list(ec2: Any, region: str) -> str:  # noqa: ANN401 - as above
    name = f"com.amazonaws.{region}.s3"
    lists = ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [name]}])["PrefixLists"]
    if not lists:
        raise HarnessError(f"region {region} has no prefix list {name}", remedy="take another region")
    prefix_list: str = lists[0]["PrefixListId"]
    return prefix_list
