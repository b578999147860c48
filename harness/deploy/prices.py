"""The hourly price of a deployment, used or not, in the deployment's own region.

The prices are those of `harness.presets.prices`. AWS's own pages are authoritative:
https://aws.amazon.com/elasticache/pricing/ - https://aws.amazon.com/privatelink/pricing/
"""

from collections.abc import Iterable, Mapping

from harness.deploy.template import Resource
from harness.presets.prices import Prices, load_prices, priced_regions

HOURS_PER_DAY = 24

# Resources without an hourly price, and their usage-based prices.
_BY_USE = {
    "AWS::S3::Bucket": "{s3_gb_month:g} USD per GB and month; {s3_put_1k:g} per 1,000 PUT, {s3_get_1k:g} per 1,000 GET",
    "AWS::ECR::Repository": "{ecr_gb_month:g} USD per GB and month",
    "AWS::Logs::LogGroup": "{logs_gb:g} USD per GB written, {logs_gb_month:g} per GB and month",
    "AWS::SQS::Queue": "{sqs_1m:g} USD per million requests, the first million of a month free",
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


def prices_of(region: str) -> Prices | None:
    """Return a region's prices; None if the price list lacks the region, which is no reason to refuse a deployment."""
    return load_prices(region) if region in priced_regions() else None


def price_per_hour(resource: Resource, parameters: Mapping[str, str], prices: Prices | None) -> float | None:
    """Return a resource's price in USD per hour; 0 if it is free or has only a usage-based price.

    Args:
        resource: A resource from `harness.deploy.template.describe`.
        parameters: The value of every parameter, from `with_defaults`.
        prices: The prices of the region, from `prices_of`.

    Returns:
        The price; None if the region's prices, or that of a node type or of a type of resource, are not known.
    """
    if resource.type in _FREE or resource.type in _BY_USE:
        return 0.0
    if resource.type == "AWS::EC2::VPCEndpoint" and resource.variant != "Interface":
        return 0.0
    if prices is None:
        return None
    if resource.type == "AWS::ElastiCache::CacheCluster":
        node = prices.cache_nodes.get(parameters["CacheNodeType"])
        return None if node is None else node.usd * int(parameters["CacheNodes"])
    if resource.type == "AWS::EC2::VPCEndpoint":
        # An interface endpoint is charged for each zone with a subnet.
        return prices.endpoint_hour * resource.zones
    return None


def by_use(resource: Resource, prices: Prices | None) -> str:
    """Return a resource's usage-based price, in words; empty if there is none."""
    interface = resource.type == "AWS::EC2::VPCEndpoint" and resource.variant == "Interface"
    words = "{endpoint_gb:g} USD per GB" if interface else _BY_USE.get(resource.type, "")
    if words and prices is None:
        return "by use, at a price that is not known for this region"
    return words.format(**{name: price.usd for name, price in prices.single.items()}) if prices else words


def total_per_hour(resources: Iterable[Resource], parameters: Mapping[str, str], prices: Prices | None) -> float:
    """Return the price in USD per hour of all resources whose price is known."""
    return sum(price_per_hour(resource, parameters, prices) or 0.0 for resource in resources)
