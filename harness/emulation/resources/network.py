"""AWS::EC2::*: the private network that functions and the cache share."""

import json
from typing import Any

from harness.emulation.resources.base import (
    Api,
    CreatedResource,
    Handler,
    Properties,
    ResourceRequest,
    ResourceUpdate,
    dropped_tags,
    flag,
    names,
)


def _specification(kind: str, request: ResourceRequest) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": request.tags}] if request.tags else []


def _retag(change: ResourceUpdate) -> None:
    if change.differs("Tags"):
        if dropped := dropped_tags(change):
            change.api.ec2.delete_tags(Resources=[change.physical_id], Tags=[{"Key": key} for key in dropped])
        if change.new.get("Tags"):
            change.api.ec2.create_tags(Resources=[change.physical_id], Tags=change.new["Tags"])


def _create_vpc(request: ResourceRequest) -> CreatedResource:
    ec2, given = request.api.ec2, request.properties
    vpc = ec2.create_vpc(
        CidrBlock=given["CidrBlock"],
        InstanceTenancy=given.get("InstanceTenancy", "default"),
        TagSpecifications=_specification("vpc", request),
    )["Vpc"]
    request.exists(vpc["VpcId"])
    _set_dns(request.api, vpc["VpcId"], given)
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    attributes = {"VpcId": vpc["VpcId"], "CidrBlock": vpc["CidrBlock"], "DefaultSecurityGroup": groups[0]["GroupId"]}
    return CreatedResource(vpc["VpcId"], attributes)


def _set_dns(api: Api, vpc: str, given: Properties) -> None:
    # The API takes one attribute per call.
    api.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": flag(given.get("EnableDnsSupport", True))})
    api.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": flag(given.get("EnableDnsHostnames", False))})


def _update_vpc(change: ResourceUpdate) -> None:
    _set_dns(change.api, change.physical_id, change.new)
    _retag(change)


def _create_subnet(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    optional = {key: given[key] for key in ("AvailabilityZone",) if key in given}
    subnet = request.api.ec2.create_subnet(
        VpcId=given["VpcId"],
        CidrBlock=given["CidrBlock"],
        TagSpecifications=_specification("subnet", request),
        **optional,
    )["Subnet"]
    request.exists(subnet["SubnetId"])
    if flag(given.get("MapPublicIpOnLaunch", False)):
        request.api.ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    attributes = {key: subnet[key] for key in ("SubnetId", "VpcId", "CidrBlock", "AvailabilityZone")}
    return CreatedResource(subnet["SubnetId"], attributes)


def _create_route_table(request: ResourceRequest) -> CreatedResource:
    table = request.api.ec2.create_route_table(
        VpcId=request.properties["VpcId"], TagSpecifications=_specification("route-table", request)
    )["RouteTable"]
    return CreatedResource(table["RouteTableId"], {"RouteTableId": table["RouteTableId"]})


def _create_association(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    answer = request.api.ec2.associate_route_table(SubnetId=given["SubnetId"], RouteTableId=given["RouteTableId"])
    return CreatedResource(answer["AssociationId"], {"Id": answer["AssociationId"]})


def _create_endpoint(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    arguments: dict[str, Any] = {
        key: given[key]
        for key in ("VpcEndpointType", "RouteTableIds", "SubnetIds", "SecurityGroupIds", "IpAddressType")
        if key in given
    }
    if "PolicyDocument" in given:
        arguments["PolicyDocument"] = _document(given["PolicyDocument"])
    if "PrivateDnsEnabled" in given:
        arguments["PrivateDnsEnabled"] = flag(given["PrivateDnsEnabled"])
    endpoint = request.api.ec2.create_vpc_endpoint(
        VpcId=given["VpcId"],
        ServiceName=given["ServiceName"],
        TagSpecifications=_specification("vpc-endpoint", request),
        **arguments,
    )["VpcEndpoint"]
    return CreatedResource(endpoint["VpcEndpointId"], {"Id": endpoint["VpcEndpointId"]})


def _update_endpoint(change: ResourceUpdate) -> None:
    if change.differs("PolicyDocument"):
        document = _document(change.new["PolicyDocument"]) if "PolicyDocument" in change.new else ""
        change.api.ec2.modify_vpc_endpoint(
            VpcEndpointId=change.physical_id, PolicyDocument=document, ResetPolicy=not document
        )
    arguments: dict[str, list[str]] = {}
    for name in ("SubnetIds", "RouteTableIds", "SecurityGroupIds"):
        old, new = set(change.old.get(name, [])), set(change.new.get(name, []))
        arguments |= {f"Add{name}": sorted(new - old), f"Remove{name}": sorted(old - new)}
    given = {name: identities for name, identities in arguments.items() if identities}
    if given:
        change.api.ec2.modify_vpc_endpoint(VpcEndpointId=change.physical_id, **given)
    _retag(change)


def _document(document: Any) -> str:  # noqa: ANN401 - JSON, or JSON as text
    return document if isinstance(document, str) else json.dumps(document)


def _create_group(request: ResourceRequest) -> CreatedResource:
    ec2, given = request.api.ec2, request.properties
    group: str = ec2.create_security_group(
        GroupName=given.get("GroupName", request.name),
        Description=given["GroupDescription"],
        VpcId=given["VpcId"],
        TagSpecifications=_specification("security-group", request),
    )["GroupId"]
    request.exists(group)
    if "SecurityGroupEgress" in given:
        # Rules in the template replace the default rule, which lets all traffic out.
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_everything()])
    _authorise(request.api, group, given)
    return CreatedResource(group, {"GroupId": group, "Id": group, "VpcId": given["VpcId"]})


def _authorise(api: Api, group: str, given: Properties) -> None:
    for rule in given.get("SecurityGroupIngress", []):
        api.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_permission(rule)])
    for rule in given.get("SecurityGroupEgress", []):
        api.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[_permission(rule)])


def _update_group(change: ResourceUpdate) -> None:
    ec2, group = change.api.ec2, change.physical_id
    for rule in change.old.get("SecurityGroupIngress", []):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[_permission(rule)])
    for rule in change.old.get("SecurityGroupEgress", []):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_permission(rule)])
    if "SecurityGroupEgress" in change.new and "SecurityGroupEgress" not in change.old:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_everything()])
    if "SecurityGroupEgress" in change.old and "SecurityGroupEgress" not in change.new:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[_everything()])
    _authorise(change.api, group, change.new)
    _retag(change)


def _everything() -> dict[str, Any]:
    return {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def _permission(rule: Properties) -> dict[str, Any]:
    """Return a rule of the template in the API's form."""
    text = {"Description": rule["Description"]} if "Description" in rule else {}
    permission: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    permission |= {key: int(rule[key]) for key in ("FromPort", "ToPort") if key in rule}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **text}]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **text}]
    for key in ("SourceSecurityGroupId", "DestinationSecurityGroupId"):
        if key in rule:
            permission["UserIdGroupPairs"] = [{"GroupId": rule[key], **text}]
    for key in ("SourcePrefixListId", "DestinationPrefixListId"):
        if key in rule:
            permission["PrefixListIds"] = [{"PrefixListId": rule[key], **text}]
    return permission


def _create_ingress(request: ResourceRequest) -> CreatedResource:
    answer = request.api.ec2.authorize_security_group_ingress(
        GroupId=request.properties["GroupId"], IpPermissions=[_permission(request.properties)]
    )
    return _rule(answer)


def _create_egress(request: ResourceRequest) -> CreatedResource:
    answer = request.api.ec2.authorize_security_group_egress(
        GroupId=request.properties["GroupId"], IpPermissions=[_permission(request.properties)]
    )
    return _rule(answer)


def _rule(answer: dict[str, Any]) -> CreatedResource:
    identity = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    return CreatedResource(identity, {"Id": identity})


def _delete_ingress(api: Api, _: str, given: Properties) -> None:
    api.ec2.revoke_security_group_ingress(GroupId=given["GroupId"], IpPermissions=[_permission(given)])


def _delete_egress(api: Api, _: str, given: Properties) -> None:
    api.ec2.revoke_security_group_egress(GroupId=given["GroupId"], IpPermissions=[_permission(given)])


_RULE = names("GroupId IpProtocol FromPort ToPort CidrIp CidrIpv6 Description")

HANDLERS = {
    "AWS::EC2::VPC": Handler(
        create=_create_vpc,
        delete=lambda api, vpc, _: api.ec2.delete_vpc(VpcId=vpc),
        properties=names("CidrBlock InstanceTenancy EnableDnsSupport EnableDnsHostnames"),
        mutable=names("EnableDnsSupport EnableDnsHostnames"),
        update=_update_vpc,
    ),
    "AWS::EC2::Subnet": Handler(
        create=_create_subnet,
        delete=lambda api, subnet, _: api.ec2.delete_subnet(SubnetId=subnet),
        properties=names("VpcId CidrBlock AvailabilityZone MapPublicIpOnLaunch"),
        update=_retag,
    ),
    "AWS::EC2::RouteTable": Handler(
        create=_create_route_table,
        delete=lambda api, table, _: api.ec2.delete_route_table(RouteTableId=table),
        properties=names("VpcId"),
        update=_retag,
    ),
    "AWS::EC2::SubnetRouteTableAssociation": Handler(
        create=_create_association,
        delete=lambda api, association, _: api.ec2.disassociate_route_table(AssociationId=association),
        properties=names("SubnetId RouteTableId"),
        taggable=False,
    ),
    "AWS::EC2::VPCEndpoint": Handler(
        create=_create_endpoint,
        delete=lambda api, endpoint, _: api.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint]),
        properties=names(
            "VpcId ServiceName VpcEndpointType RouteTableIds SubnetIds SecurityGroupIds PolicyDocument "
            "PrivateDnsEnabled IpAddressType"
        ),
        mutable=names("PolicyDocument SubnetIds RouteTableIds SecurityGroupIds"),
        update=_update_endpoint,
    ),
    "AWS::EC2::SecurityGroup": Handler(
        create=_create_group,
        delete=lambda api, group, _: api.ec2.delete_security_group(GroupId=group),
        properties=names("GroupName GroupDescription VpcId SecurityGroupIngress SecurityGroupEgress"),
        mutable=names("SecurityGroupIngress SecurityGroupEgress"),
        update=_update_group,
    ),
    "AWS::EC2::SecurityGroupIngress": Handler(
        create=_create_ingress,
        delete=_delete_ingress,
        properties=_RULE | names("SourceSecurityGroupId SourcePrefixListId"),
        taggable=False,
    ),
    "AWS::EC2::SecurityGroupEgress": Handler(
        create=_create_egress,
        delete=_delete_egress,
        properties=_RULE | names("DestinationSecurityGroupId DestinationPrefixListId"),
        taggable=False,
    ),
}
