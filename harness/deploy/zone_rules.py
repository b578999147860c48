"""Rules for zones: the functions are in the zone of the cache, on which the time of every round trip depends."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.deploy.finding import Finding
from harness.deploy.intrinsics import Resolver
from harness.deploy.zones import cost_of_another_zone

Template = Mapping[str, Any]


def _one_zone(template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check that functions and cache are in one zone, or that the user chose otherwise."""
    zones = {
        f"subnet-{name}": str(resolver.properties(name).get("AvailabilityZone", ""))
        for name in resolver.of_type("AWS::EC2::Subnet")
    }
    subnets = [subnet for subnet in resolver.output("SubnetIds").split(",") if subnet]
    for subnet in subnets:
        if not zones.get(subnet):
            what = f"the zone of the functions' subnet {subnet} is not in the template, so it may not be the cache's"
            yield Finding("zone", "Outputs.SubnetIds", what, "give the subnet an AvailabilityZone", "warning")
    functions = {zones[subnet] for subnet in subnets if zones.get(subnet)}
    chosen = "FunctionZones" in template.get("Parameters", {}) and resolver.resolve({"Ref": "FunctionZones"}) == "all"
    for name in resolver.of_type("AWS::ElastiCache::CacheCluster"):
        properties = resolver.properties(name)
        allowed = _zones_of_group(resolver, str(properties.get("CacheSubnetGroupName", "")), zones)
        cache = _zones_of_cache(properties, allowed)
        if len(cache) != 1:
            yield _spread(name, cache, functions)
            continue
        (zone,) = cache
        if allowed and zone not in allowed:
            what = f"its zone is {zone}, but its subnet group is in {_listed(allowed)}"
            yield Finding("zone", name, what, "choose the zone of one of the group's subnets")
        if functions and functions != cache:
            yield _apart(functions, zone, chosen=chosen and zone in functions)


def _zones_of_group(resolver: Resolver, group: str, zones: Mapping[str, str]) -> set[str]:
    """Return the zones of the subnets in a subnet group of ElastiCache; empty if they are not known."""
    for name in resolver.of_type("AWS::ElastiCache::SubnetGroup"):
        properties = resolver.properties(name)
        if group in {resolver.resolve({"Ref": name}), properties.get("CacheSubnetGroupName")}:
            found = {zones.get(subnet, "") for subnet in properties.get("SubnetIds", [])}
            return set() if "" in found else found
    return set()


def _zones_of_cache(properties: Mapping[str, Any], allowed: set[str]) -> set[str]:
    """Return the zones that the nodes of a cluster may be in; empty if they are not known.

    Args:
        properties: The cluster's properties.
        allowed: The zones of its subnet group.
    """
    if several := properties.get("PreferredAvailabilityZones"):
        return set(map(str, several))
    if properties.get("PreferredAvailabilityZone") and properties.get("AZMode") != "cross-az":
        return {str(properties["PreferredAvailabilityZone"])}
    return allowed


def _spread(name: str, cache: set[str], functions: set[str]) -> Finding:
    return Finding(
        "zone",
        name,
        f"its nodes may be in {_listed(cache, 'or') or 'any zone'}, and the functions are in "
        f"{_listed(functions) or 'a zone that is not known'}: from another zone, {cost_of_another_zone()}",
        "set AZMode: single-az, and PreferredAvailabilityZone to the functions' zone",
    )


def _apart(functions: set[str], cache: str, *, chosen: bool) -> Finding:
    return Finding(
        "zone",
        "Outputs.SubnetIds",
        f"the functions are in {_listed(functions)}, but the cache is in {cache}: from another zone, "
        f"{cost_of_another_zone()}",
        "to keep them in the cache's zone: harness deploy --zones one"
        if chosen
        else f"list only subnets in {cache}; if you want both zones: harness deploy --zones all",
        "warning" if chosen else "error",
    )


def _listed(zones: set[str], word: str = "and") -> str:
    return f" {word} ".join(sorted(zones))


RULES: tuple[Callable[[Template, Resolver], Iterator[Finding]], ...] = (_one_zone,)
