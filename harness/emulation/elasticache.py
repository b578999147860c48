"""What moto lacks of ElastiCache for Memcached: parameter groups, nodes, the configuration endpoint, deletion.

https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_Operations.html
A stack runs as many nodes as it was started with, whatever number a cluster has: the configuration endpoint of every
cluster is the stack's, and lists its nodes. A rehearsal starts it with those of the template. The values of a parameter
group are stored, but not applied to them.
"""

import os
import socket
from collections.abc import Iterator
from typing import Any

from moto.core.resource_tagging import TaggedResource
from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache import models, responses
from moto.elasticache.exceptions import ElastiCacheException, InvalidParameterValueException

from harness.emulation.environment import CACHE_ENDPOINT
from harness.network.discovery import Node, listed_nodes

MEMCACHED_PORT = 11_211
# https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/ParameterGroups.Engine.html
FAMILIES = ("memcached1.4", "memcached1.5", "memcached1.6")
MOST_ITEM_BYTES = 1 << 30
LISTED_WITHIN_S = 1.0


class ParameterGroup:
    """One parameter group, with the attributes by which moto's answers show it."""

    def __init__(self, name: str, family: str, description: str, arn: str) -> None:
        self.cache_parameter_group_name, self.cache_parameter_group_family = name, family
        self.description, self.arn = description, arn
        self.is_global = False
        self.values: dict[str, str] = {}


class ParameterGroupNotFound(ElastiCacheException):
    """There is no such parameter group."""

    code = "CacheParameterGroupNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"CacheParameterGroup {name} not found.")


class ParameterGroupExists(ElastiCacheException):
    """The name is taken."""

    code = "CacheParameterGroupAlreadyExists"

    def __init__(self, name: str) -> None:
        super().__init__(f"CacheParameterGroup {name} already exists.")


class GroupInUse(ElastiCacheException):
    """The group cannot be deleted because a cluster uses it."""

    def __init__(self, kind: str, name: str, cluster: str) -> None:
        self.code = "CacheSubnetGroupInUse" if kind == "CacheSubnetGroup" else "InvalidCacheParameterGroupState"
        super().__init__(f"{kind} {name} is currently in use by cache cluster {cluster}.")


Backend = models.ElastiCacheBackend
_Cluster = models.CacheCluster


def _groups(backend: Backend) -> dict[str, ParameterGroup]:
    groups: dict[str, ParameterGroup] = backend.__dict__.setdefault("harness_parameter_groups", {})
    return groups


def _group(backend: Backend, name: str) -> ParameterGroup:
    if name not in _groups(backend):
        raise ParameterGroupNotFound(name)
    return _groups(backend)[name]


def _check_unused(backend: Backend, kind: str, attribute: str, name: str) -> None:
    for cluster in backend.cache_clusters.values():
        if getattr(cluster, attribute) == name:
            raise GroupInUse(kind, name, cluster.cache_cluster_id)


def endpoint() -> dict[str, Any]:
    """Return the stack's configuration endpoint, with its address instead of its host name, as functions expect it.

    Raises:
        InvalidParameterValueException: This server has no endpoint configured.
    """
    host, _, port = os.environ.get(CACHE_ENDPOINT, "").rpartition(":")
    if not host:
        raise InvalidParameterValueException(f"There is no Memcached here: {CACHE_ENDPOINT} is not set.")
    return {"Address": socket.gethostbyname(host), "Port": int(port)}


def node_endpoints(where: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the addresses of the stack's nodes, as its configuration endpoint lists them.

    Args:
        where: The configuration endpoint.
    """
    nodes = listed_nodes(Node(where["Address"], where["Port"]), LISTED_WITHIN_S)
    return [{"Address": socket.gethostbyname(node.host), "Port": node.port} for node in nodes]


class ZoneNotInGroup(ElastiCacheException):
    """The cluster's zone has no subnet in the cluster's subnet group."""

    code = "InvalidParameterCombination"

    def __init__(self, zone: str, group: str) -> None:
        super().__init__(f"The cache subnet group {group} has no subnet in the Availability Zone {zone}.")


def _zone(backend: Backend, wanted: str | None, subnet_group: str | None) -> str:
    """Return the zone of a cluster's nodes; without a wish, ElastiCache chooses one of its subnet group's.

    Raises:
        ZoneNotInGroup: The group has no subnet in the wanted zone.
    """
    zones = {f"{backend.region_name}a"}
    if subnet_group:
        (group,) = backend.describe_cache_subnet_groups(cache_subnet_group_name=subnet_group)
        zones = {subnet["subnet_availability_zone"] for subnet in group.subnets}
        if wanted and wanted not in zones:
            raise ZoneNotInGroup(wanted, subnet_group)
    return wanted or max(zones)


def _show_as_memcached(cluster: Any, where: dict[str, Any]) -> None:  # noqa: ANN401 - more attributes than moto's has
    """Add the attributes that AWS shows for a Memcached cluster."""
    group = cluster.cache_parameter_group_name
    if isinstance(group, str):
        cluster.cache_parameter_group = {"CacheParameterGroupName": group, "ParameterApplyStatus": "in-sync"}
    cluster.security_groups = [
        {"SecurityGroupId": group_id, "Status": "active"} for group_id in cluster.security_group_ids
    ]
    cluster.configuration_endpoint = where
    endpoints = node_endpoints(where)
    cluster.cache_nodes = [
        {
            "CacheNodeId": f"{number:04}",
            "CacheNodeStatus": "available",
            "CustomerAvailabilityZone": cluster.preferred_availability_zone,
            "Endpoint": endpoints[number - 1] if number <= len(endpoints) else where,
            "ParameterGroupStatus": "in-sync",
        }
        for number in range(1, cluster.num_cache_nodes + 1)
    ]


class CacheResponses(responses.ElastiCacheResponse):
    """The calls that moto lacks, or answers differently from AWS."""

    def create_cache_cluster(self) -> ActionResult:
        """CreateCacheCluster: a Memcached cluster has nodes, a configuration endpoint, and existing groups."""
        backend = self.elasticache_backend
        if self._get_param("Engine") != "memcached":
            return _create_of_moto(self)
        nodes = self._get_int_param("NumCacheNodes") or 1
        if not 1 <= nodes <= 40:
            raise InvalidParameterValueException("NumCacheNodes should be between 1 and 40 for memcached.")
        if group := self._get_param("CacheParameterGroupName"):
            _group(backend, group)
        zone = _zone(backend, self._get_param("PreferredAvailabilityZone"), self._get_param("CacheSubnetGroupName"))
        where = endpoint()
        result = _create_of_moto(self)
        cluster = backend.cache_clusters[self._get_param("CacheClusterId")]
        cluster.port = self._get_int_param("Port") or MEMCACHED_PORT
        cluster.preferred_availability_zone = zone
        _show_as_memcached(cluster, where)
        return result

    def modify_cache_cluster(self) -> ActionResult:
        """ModifyCacheCluster: changes apply immediately."""
        backend = self.elasticache_backend
        name = self._get_param("CacheClusterId")
        (cluster,) = backend.describe_cache_clusters(cache_cluster_id=name)
        if group := self._get_param("CacheParameterGroupName"):
            cluster.cache_parameter_group_name = _group(backend, group).cache_parameter_group_name
        if nodes := self._get_int_param("NumCacheNodes"):
            cluster.num_cache_nodes = nodes
        if groups := self._get_param("SecurityGroupIds"):
            cluster.security_group_ids = groups
        for parameter, attribute in (
            ("EngineVersion", "engine_version"),
            ("AZMode", "az_mode"),
            ("PreferredMaintenanceWindow", "preferred_maintenance_window"),
        ):
            if value := self._get_param(parameter):
                setattr(cluster, attribute, value)
        _show_as_memcached(cluster, endpoint())
        return ActionResult({"CacheCluster": cluster})

    def delete_cache_cluster(self) -> ActionResult:
        """DeleteCacheCluster: the cluster and its tags are gone afterwards."""
        backend = self.elasticache_backend
        cluster = backend.delete_cache_cluster(cache_cluster_id=self._get_param("CacheClusterId"))
        del backend.cache_clusters[cluster.cache_cluster_id]
        backend.tagging_service.delete_all_tags_for_resource(cluster.arn)
        return ActionResult({"CacheCluster": cluster})

    def delete_cache_subnet_group(self) -> ActionResult:
        """DeleteCacheSubnetGroup."""
        backend, name = self.elasticache_backend, self._get_param("CacheSubnetGroupName")
        (group,) = backend.describe_cache_subnet_groups(cache_subnet_group_name=name)
        _check_unused(backend, "CacheSubnetGroup", "cache_subnet_group_name", name)
        del backend.cache_subnet_groups[name]
        backend.tagging_service.delete_all_tags_for_resource(group.arn)
        return EmptyResult()

    def create_cache_parameter_group(self) -> ActionResult:
        """CreateCacheParameterGroup."""
        backend, name = self.elasticache_backend, self._get_param("CacheParameterGroupName").lower()
        family = self._get_param("CacheParameterGroupFamily")
        if name in _groups(backend):
            raise ParameterGroupExists(name)
        if family not in FAMILIES:
            raise InvalidParameterValueException(
                f"CacheParameterGroupFamily {family} is not a valid parameter group family."
            )
        arn = f"arn:aws:elasticache:{backend.region_name}:{backend.account_id}:parametergroup:{name}"
        group = ParameterGroup(name, family, self._get_param("Description"), arn)
        _groups(backend)[name] = group
        backend.tagging_service.tag_resource(arn, self._get_param("Tags", []))
        return ActionResult({"CacheParameterGroup": group})

    def modify_cache_parameter_group(self) -> ActionResult:
        """ModifyCacheParameterGroup."""
        group = _group(self.elasticache_backend, self._get_param("CacheParameterGroupName"))
        for entry in self._get_param("ParameterNameValues", []):
            name, value = entry["ParameterName"], entry["ParameterValue"]
            if name == "max_item_size" and not 1024 <= int(value) <= MOST_ITEM_BYTES:
                raise InvalidParameterValueException(f"The parameter value {value} is not valid for parameter {name}.")
            group.values[name] = value
        return ActionResult({"CacheParameterGroupName": group.cache_parameter_group_name})

    def reset_cache_parameter_group(self) -> ActionResult:
        """ResetCacheParameterGroup."""
        group = _group(self.elasticache_backend, self._get_param("CacheParameterGroupName"))
        for entry in self._get_param("ParameterNameValues", []):
            group.values.pop(entry["ParameterName"], None)
        return ActionResult({"CacheParameterGroupName": group.cache_parameter_group_name})

    def describe_cache_parameter_groups(self) -> ActionResult:
        """DescribeCacheParameterGroups."""
        backend, name = self.elasticache_backend, self._get_param("CacheParameterGroupName")
        found = [_group(backend, name)] if name else list(_groups(backend).values())
        return ActionResult({"CacheParameterGroups": found})

    def describe_cache_parameters(self) -> ActionResult:
        """DescribeCacheParameters: the ones that were set; AWS lists the defaults, too."""
        group = _group(self.elasticache_backend, self._get_param("CacheParameterGroupName"))
        values = [
            {"ParameterName": name, "ParameterValue": value, "Source": "user"} for name, value in group.values.items()
        ]
        return ActionResult({"Parameters": values})

    def delete_cache_parameter_group(self) -> ActionResult:
        """DeleteCacheParameterGroup."""
        backend, name = self.elasticache_backend, self._get_param("CacheParameterGroupName")
        group = _group(backend, name)
        _check_unused(backend, "CacheParameterGroup", "cache_parameter_group_name", name)
        del _groups(backend)[name]
        backend.tagging_service.delete_all_tags_for_resource(group.arn)
        return EmptyResult()

    def list_tags_for_resource(self) -> ActionResult:
        """ListTagsForResource, for every resource that takes tags."""
        tags = self.elasticache_backend.tagging_service.list_tags_for_resource(self._get_param("ResourceName"))
        return ActionResult({"TagList": tags["Tags"]})

    def add_tags_to_resource(self) -> ActionResult:
        """AddTagsToResource, for every resource that takes tags."""
        service, arn = self.elasticache_backend.tagging_service, self._get_param("ResourceName")
        service.tag_resource(arn, self._get_param("Tags", []))
        return ActionResult({"TagList": service.list_tags_for_resource(arn)["Tags"]})

    def remove_tags_from_resource(self) -> ActionResult:
        """RemoveTagsFromResource, for every resource that takes tags."""
        service, arn = self.elasticache_backend.tagging_service, self._get_param("ResourceName")
        service.untag_resource_using_names(arn, self._get_param("TagKeys", []))
        return ActionResult({"TagList": service.list_tags_for_resource(arn)["Tags"]})


_create_of_moto = responses.ElastiCacheResponse.create_cache_cluster
_tagged_of_moto = Backend.iter_tagged_resources


def _tagged(self: Backend) -> Iterator[TaggedResource]:
    yield from _tagged_of_moto(self)
    for group in list(_groups(self).values()):
        tags = self.tagging_service.get_tag_dict_for_resource(group.arn)
        yield TaggedResource(arn=group.arn, tags=tags, resource_type="elasticache:parametergroup")


def install(_endpoint: str) -> None:
    """Add all of this to moto's ElastiCache."""
    for name, value in vars(CacheResponses).items():
        if not name.startswith("__"):
            setattr(responses.ElastiCacheResponse, name, value)
    Backend.iter_tagged_resources = _tagged  # type: ignore[method-assign]
