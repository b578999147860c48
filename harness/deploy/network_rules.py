"""Rules for the network: functions can reach the services that they call, and nothing else."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.deploy.finding import Finding
from harness.deploy.intrinsics import Resolver

Template = Mapping[str, Any]

_HTTPS, _MEMCACHED = 443, 11211
# The characters that EC2 accepts in descriptions of groups and rules; cfn-lint does not check them.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html
_DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=;{}!$*]{0,255}")
# The services that handlers call from within the VPC.
_SERVICES = ("s3", "lambda")


def _vpc_names(template: Template, resolver: Resolver) -> Iterator[Finding]:
    for name in resolver.of_type("AWS::EC2::VPC"):
        properties = resolver.properties(name)
        for setting in ("EnableDnsSupport", "EnableDnsHostnames"):
            if not properties.get(setting, setting == "EnableDnsSupport"):
                yield Finding(
                    "vpc-dns",
                    name,
                    f"{setting} is off: the Lambda endpoint's name cannot be resolved",
                    f"{setting}: true",
                )
    outside = [
        name
        for name, entry in template["Resources"].items()
        if entry["Type"] in {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway"}
    ]
    for name in outside:
        yield Finding("private", name, "a route to the internet, which no function needs", "remove it", "warning")


def _subnets(_template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check that subnets are within the VPC, do not overlap, and are in different zones."""
    vpcs = {f"vpc-{name}": resolver.properties(name) for name in resolver.of_type("AWS::EC2::VPC")}
    seen: dict[str, ipaddress.IPv4Network] = {}
    zones: dict[str | None, str] = {}
    for name in resolver.of_type("AWS::EC2::Subnet"):
        properties = resolver.properties(name)
        network = ipaddress.IPv4Network(properties["CidrBlock"], strict=False)
        vpc = vpcs.get(properties["VpcId"], {}).get("CidrBlock")
        if vpc and not network.subnet_of(ipaddress.IPv4Network(vpc, strict=False)):
            yield Finding(
                "subnet", name, f"{network} is not within the VPC's {vpc}", "choose SubnetCidrs within VpcCidr"
            )
        for other, others in seen.items():
            if network.overlaps(others):
                yield Finding(
                    "subnet",
                    name,
                    f"{network} overlaps {other}'s {others}",
                    "choose two SubnetCidrs that do not overlap",
                )
        zone = properties.get("AvailabilityZone")
        if zone and zone in zones:
            yield Finding("subnet", name, f"in the same zone as {zones[zone]}: {zone}", "name two AvailabilityZones")
        seen[name], zones[zone] = network, name


def _endpoints(_template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check that the functions' subnets have an endpoint for every service that handlers call."""
    subnets = set(resolver.output("SubnetIds").split(","))
    group = resolver.output("FunctionSecurityGroupId")
    endpoints = {name: resolver.properties(name) for name in resolver.of_type("AWS::EC2::VPCEndpoint")}
    for service in _SERVICES:
        found = {name: entry for name, entry in endpoints.items() if entry["ServiceName"].endswith(f".{service}")}
        if not found:
            yield Finding(
                "endpoint",
                f"endpoint of {service}",
                f"functions in the VPC cannot reach {service}: calls hang until they time out",
                f"add an AWS::EC2::VPCEndpoint for com.amazonaws.REGION.{service}",
            )
        for name, entry in found.items():
            if entry.get("VpcEndpointType", "Gateway") == "Gateway":
                yield from _gateway_endpoint(name, entry, subnets, group, resolver)
            else:
                yield from _interface_endpoint(name, entry, subnets, group, resolver)


def _gateway_endpoint(
    name: str, endpoint: Mapping[str, Any], subnets: set[str], group: str, resolver: Resolver
) -> Iterator[Finding]:
    routes = map(resolver.properties, resolver.of_type("AWS::EC2::SubnetRouteTableAssociation"))
    routed = {entry["SubnetId"] for entry in routes if entry["RouteTableId"] in endpoint.get("RouteTableIds", [])}
    for subnet in sorted(subnets - routed):
        yield Finding(
            "endpoint",
            name,
            f"no route table of the endpoint is associated with {subnet}",
            "associate the subnet with a route table in RouteTableIds",
        )
    if not any("DestinationPrefixListId" in rule and _covers(rule, _HTTPS) for rule in _egress_of(resolver, group)):
        yield Finding(
            "endpoint",
            name,
            "the functions' security group allows no egress to its prefix list on port 443",
            "add an egress rule",
        )


def _interface_endpoint(
    name: str, endpoint: Mapping[str, Any], subnets: set[str], group: str, resolver: Resolver
) -> Iterator[Finding]:
    if not endpoint.get("PrivateDnsEnabled", False):
        yield Finding(
            "endpoint", name, "PrivateDnsEnabled is off: boto3 resolves the public address", "PrivateDnsEnabled: true"
        )
    for subnet in sorted(subnets - set(endpoint.get("SubnetIds", []))):
        yield Finding("endpoint", name, f"not in {subnet}, where functions run", "add it to SubnetIds", "warning")
    own = endpoint.get("SecurityGroupIds", [])
    if not any(_lets_in(resolver, target, group, _HTTPS) for target in own):
        yield Finding(
            "endpoint", name, "its security group admits no functions on port 443", "add an ingress rule for them"
        )
    if not any(_lets_out(resolver, group, target, _HTTPS) for target in own):
        yield Finding(
            "endpoint",
            name,
            "the functions' security group allows no egress to it on port 443",
            "add an egress rule to it",
        )


def _cache_reachable(_template: Template, resolver: Resolver) -> Iterator[Finding]:
    group = resolver.output("FunctionSecurityGroupId")
    for name in resolver.of_type("AWS::ElastiCache::CacheCluster"):
        own = resolver.properties(name).get("VpcSecurityGroupIds", [])
        if not any(_lets_in(resolver, target, group, _MEMCACHED) for target in own):
            yield Finding("cache", name, "its security group admits no functions", "add an ingress rule for them")
        if not any(_lets_out(resolver, group, target, _MEMCACHED) for target in own):
            yield Finding(
                "cache", name, "the functions' security group allows no egress to it", "add an egress rule to it"
            )


def _egress(_template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check for unrestricted egress: a group without egress rules, or with a rule for all addresses."""
    for name in resolver.of_type("AWS::EC2::SecurityGroup"):
        rules = resolver.properties(name).get("SecurityGroupEgress", [])
        if not rules:
            yield Finding(
                "egress", name, "without an egress rule, all outgoing traffic is allowed", "set SecurityGroupEgress"
            )
        for rule in rules:
            if {rule.get("CidrIp"), rule.get("CidrIpv6")} & {"0.0.0.0/0", "::/0"}:
                yield Finding(
                    "egress", name, "allows all outgoing traffic", "use a group or prefix list instead of a range"
                )


def _descriptions(_template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check descriptions for characters that EC2 refuses, such as an apostrophe."""
    for name in resolver.of_type("AWS::EC2::SecurityGroup"):
        properties = resolver.properties(name)
        yield from _described(name, properties.get("GroupDescription", ""))
        for rule in (*properties.get("SecurityGroupIngress", []), *properties.get("SecurityGroupEgress", [])):
            yield from _described(name, rule.get("Description", ""))
    for kind in ("SecurityGroupIngress", "SecurityGroupEgress"):
        for name in resolver.of_type(f"AWS::EC2::{kind}"):
            yield from _described(name, resolver.properties(name).get("Description", ""))


def _described(name: str, text: str) -> Iterator[Finding]:
    if not _DESCRIPTION.fullmatch(text):
        yield Finding(
            "description",
            name,
            f"EC2 does not accept this description: {text}",
            "use letters, digits and ._-:/()#,@[]+=;{}!$*",
        )


def _lets_in(resolver: Resolver, group: str, source: str, port: int) -> bool:
    rules = _rules_of(resolver, group, "SecurityGroupIngress")
    return any(rule.get("SourceSecurityGroupId") == source and _covers(rule, port) for rule in rules)


def _lets_out(resolver: Resolver, group: str, target: str, port: int) -> bool:
    return any(
        rule.get("DestinationSecurityGroupId") == target and _covers(rule, port) for rule in _egress_of(resolver, group)
    )


def _egress_of(resolver: Resolver, group: str) -> list[dict[str, Any]]:
    return _rules_of(resolver, group, "SecurityGroupEgress")


def _rules_of(resolver: Resolver, group: str, kind: str) -> list[dict[str, Any]]:
    """Return a group's rules, both its inline rules and those that are separate resources."""
    groups = resolver.of_type("AWS::EC2::SecurityGroup")
    within = [rule for name in groups if group == f"sg-{name}" for rule in resolver.properties(name).get(kind, [])]
    apart = map(resolver.properties, resolver.of_type(f"AWS::EC2::{kind}"))
    return within + [rule for rule in apart if rule.get("GroupId") == group]


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    if str(rule["IpProtocol"]) == "-1":
        return True
    return rule["IpProtocol"] == "tcp" and int(rule["FromPort"]) <= port <= int(rule["ToPort"])


RULES: tuple[Callable[[Template, Resolver], Iterator[Finding]], ...] = (
    _vpc_names,
    _subnets,
    _endpoints,
    _cache_reachable,
    _egress,
    _descriptions,
)
