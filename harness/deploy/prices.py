"""The hourly price of a deployment, used or not.

Prices: us-east-1, on demand, read in November 2026 from third parties that republish AWS's pages. AWS's own pages are
authoritative: https://aws.amazon.com/elasticache/pricing/ - https://aws.amazon.com/privatelink/pricing/
Other regions cost up to twice as much; pass your own `Prices`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.deploy.template import Resource

READ = "November 2026"
HOURS_PER_DAY = 24

_CACHE_NODES = MappingProxyType(
    {
        "cache.t4g.micro": 0.016,
        "cache.t4g.small": 0.032,
        "cache.t4g.medium": 0.065,
        "cache.t3.micro": 0.017,
        "cache.t3.small": 0.034,
        "cache.t3.medium": 0.068,
        "cache.m5.large": 0.156,
        "cache.m5.xlarge": 0.311,
        "cache.m6g.large": 0.149,
        "cache.m6g.xlarge": 0.297,
        "cache.m7g.large": 0.158,
        "cache.r5.large": 0.216,
        "cache.r6g.large": 0.206,
        "cache.r6g.xlarge": 0.411,
        "cache.r7g.large": 0.219,
    }
)

# Resources without an hourly price, and their usage-based prices.
_BY_USE = {
    "AWS::S3::Bucket": "0.023 USD per GB and month; 0.005 per 1,000 PUT, 0.0004 per 1,000 GET",
    "AWS::ECR::Repository": "0.10 USD per GB and month",
    "AWS::Logs::LogGroup": "0.50 USD per GB written, 0.03 per GB and month",
    "AWS::SQS::Queue": "0.40 USD per million requests, the first million of a month free",
}
_FREE = {
    "AWS::EC2::VPC",
    "AWS::EC2::Subnet",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::IAM::Role",
    "AWS::S3::BucketPolicy",
    # A budget without actions is free.
    "AWS::Budgets::Budget",
}


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in USD per hour.

    Attributes:
        cache_node: One cache node, by its type.
        interface_endpoint: One interface endpoint in one zone.
    """

    cache_node: Mapping[str, float] = field(default_factory=lambda: _CACHE_NODES)
    interface_endpoint: float = 0.01


def price_per_hour(resource: Resource, parameters: Mapping[str, str], prices: Prices | None = None) -> float | None:
    """Return a resource's price in USD per hour; 0 if it is free or has only a usage-based price.

    Args:
        resource: A resource from `harness.deploy.template.describe`.
        parameters: The value of every parameter, from `with_defaults`.
        prices: Prices of another region; None for us-east-1's.

    Returns:
        The price; None for a node type or a type of resource that is not listed here.
    """
    prices = prices or Prices()
    if resource.type == "AWS::ElastiCache::CacheCluster":
        node = prices.cache_node.get(parameters["CacheNodeType"])
        return None if node is None else node * int(parameters["CacheNodes"])
    if resource.type == "AWS::EC2::VPCEndpoint":
        # A gateway endpoint is free; an interface endpoint is charged for each zone with a subnet.
        zones = len(parameters["AvailabilityZones"].split(","))
        return prices.interface_endpoint * zones if resource.variant == "Interface" else 0.0
    return 0.0 if resource.type in _FREE or resource.type in _BY_USE else None


def by_use(resource: Resource) -> str:
    """Return a resource's usage-based price, in words; empty if there is none."""
    if resource.type == "AWS::EC2::VPCEndpoint" and resource.variant == "Interface":
        return "0.01 USD per GB"
    return _BY_USE.get(resource.type, "")


def total_per_hour(resources: Iterable[Resource], parameters: Mapping[str, str], prices: Prices | None = None) -> float:
    """Return the price in USD per hour of all resources whose price is known."""
    return sum(price_per_hour(resource, parameters, prices) or 0.0 for resource in resources)
