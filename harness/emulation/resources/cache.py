"""AWS::ElastiCache::* for Memcached; every cluster's configuration endpoint is the stack's."""

import hashlib
from typing import Any

from harness.emulation.resources.base import (
    Api,
    CreatedResource,
    Handler,
    Properties,
    ResourceRefused,
    ResourceRequest,
    ResourceUpdate,
    dropped_tags,
    names,
)


def _name(request: ResourceRequest) -> str:
    """Return a name within ElastiCache's limits (a letter first, 40 characters), as short as CloudFormation's."""
    stack, _, rest = request.name.partition("-")
    return f"{stack[:3]}-{rest[:2]}-{hashlib.sha256(request.name.encode()).hexdigest()[:12]}".lower()


def _retag(change: ResourceUpdate, kind: str) -> None:
    if change.differs("Tags"):
        arn = f"arn:aws:elasticache:{change.api.region}:{change.api.account}:{kind}:{change.physical_id}"
        if dropped := dropped_tags(change):
            change.api.elasticache.remove_tags_from_resource(ResourceName=arn, TagKeys=dropped)
        change.api.elasticache.add_tags_to_resource(ResourceName=arn, Tags=change.new.get("Tags", []))


def _create_subnet_group(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    group = request.api.elasticache.create_cache_subnet_group(
        CacheSubnetGroupName=given.get("CacheSubnetGroupName", _name(request)).lower(),
        CacheSubnetGroupDescription=given["Description"],
        SubnetIds=given["SubnetIds"],
        Tags=request.tags,
    )["CacheSubnetGroup"]
    return CreatedResource(group["CacheSubnetGroupName"])


def _create_parameter_group(request: ResourceRequest) -> CreatedResource:
    given, elasticache = request.properties, request.api.elasticache
    group = elasticache.create_cache_parameter_group(
        CacheParameterGroupName=_name(request),
        CacheParameterGroupFamily=given["CacheParameterGroupFamily"],
        Description=given["Description"],
        Tags=request.tags,
    )["CacheParameterGroup"]
    name = group["CacheParameterGroupName"]
    request.exists(name)
    _set_parameters(request.api, name, given)
    return CreatedResource(name, {"CacheParameterGroupName": name})


def _set_parameters(api: Api, name: str, given: Properties) -> None:
    values = [
        {"ParameterName": key, "ParameterValue": str(value)} for key, value in given.get("Properties", {}).items()
    ]
    if values:
        api.elasticache.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=values)


def _update_parameter_group(change: ResourceUpdate) -> None:
    if gone := change.old.get("Properties", {}).keys() - change.new.get("Properties", {}).keys():
        change.api.elasticache.reset_cache_parameter_group(
            CacheParameterGroupName=change.physical_id,
            ParameterNameValues=[{"ParameterName": name} for name in sorted(gone)],
        )
    _set_parameters(change.api, change.physical_id, change.new)
    _retag(change, "parametergroup")


# The properties with the same name in the API.
_SAME = names(
    "CacheNodeType CacheParameterGroupName CacheSubnetGroupName Engine EngineVersion AZMode PreferredAvailabilityZone "
    "PreferredAvailabilityZones PreferredMaintenanceWindow NetworkType IpDiscovery"
)


def _create_cluster(request: ResourceRequest) -> CreatedResource:
    given, elasticache = request.properties, request.api.elasticache
    if given.get("Engine") != "memcached":
        raise ResourceRefused(f"only Engine memcached is emulated, not {given.get('Engine')}")
    arguments: dict[str, Any] = {key: given[key] for key in _SAME if key in given}
    name = given.get("ClusterName", _name(request)).lower()
    elasticache.create_cache_cluster(
        CacheClusterId=name,
        NumCacheNodes=int(given["NumCacheNodes"]),
        Port=int(given.get("Port", 11_211)),
        SecurityGroupIds=given.get("VpcSecurityGroupIds", []),
        Tags=request.tags,
        **arguments,
    )
    request.exists(name)
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    (cluster,) = elasticache.describe_cache_clusters(CacheClusterId=name)["CacheClusters"]
    endpoint = cluster["ConfigurationEndpoint"]
    attributes = {
        "ConfigurationEndpoint.Address": endpoint["Address"],
        "ConfigurationEndpoint.Port": str(endpoint["Port"]),
    }
    return CreatedResource(name, attributes)


def _update_cluster(change: ResourceUpdate) -> None:
    if change.differs("CacheNodeType"):
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-elasticache-cachecluster.html
        raise ResourceRefused("Changing the CacheNodeType of a Memcached instance is currently not supported.")
    arguments: dict[str, Any] = {
        key: change.new[key]
        for key in ("CacheParameterGroupName", "EngineVersion", "AZMode", "PreferredMaintenanceWindow")
        if key in change.new and change.differs(key)
    }
    if change.differs("NumCacheNodes"):
        arguments["NumCacheNodes"] = int(change.new["NumCacheNodes"])
    if change.differs("VpcSecurityGroupIds"):
        arguments["SecurityGroupIds"] = change.new.get("VpcSecurityGroupIds", [])
    if arguments:
        change.api.elasticache.modify_cache_cluster(CacheClusterId=change.physical_id, **arguments)
    _retag(change, "cluster")


HANDLERS = {
    "AWS::ElastiCache::SubnetGroup": Handler(
        create=_create_subnet_group,
        delete=lambda api, name, _: api.elasticache.delete_cache_subnet_group(CacheSubnetGroupName=name),
        properties=names("CacheSubnetGroupName Description SubnetIds"),
        update=lambda change: _retag(change, "subnetgroup"),
    ),
    "AWS::ElastiCache::ParameterGroup": Handler(
        create=_create_parameter_group,
        delete=lambda api, name, _: api.elasticache.delete_cache_parameter_group(CacheParameterGroupName=name),
        properties=names("CacheParameterGroupFamily Description Properties"),
        mutable=names("Properties"),
        update=_update_parameter_group,
    ),
    "AWS::ElastiCache::CacheCluster": Handler(
        create=_create_cluster,
        delete=lambda api, name, _: api.elasticache.delete_cache_cluster(CacheClusterId=name),
        properties=_SAME | names("ClusterName NumCacheNodes Port VpcSecurityGroupIds"),
        mutable=names(
            "CacheNodeType NumCacheNodes CacheParameterGroupName EngineVersion AZMode PreferredMaintenanceWindow "
            "VpcSecurityGroupIds"
        ),
        update=_update_cluster,
    ),
}
