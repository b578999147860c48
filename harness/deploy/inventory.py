"""List all resources with a stack's tag, as the services report them, with their prices.

    everything but roles and functions   Resource Groups Tagging API
    roles, which that API leaves out      IAM
    functions                             the Lambda API, the only one that knows a rehearsal's functions

https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/overview.html
The tagging API lists some resources for a while after their deletion, so those that CloudFormation reports as deleted
are left out.
"""

from collections.abc import Callable, Collection, Iterable

import msgspec

from harness.deploy import functions
from harness.deploy.prices import HOURS_PER_DAY, prices_of
from harness.deploy.target import Target
from harness.deploy.template import STACK_TAG
from harness.presets.prices import Prices

_GB = 1e9
_DAYS_PER_MONTH = 30


class Standing(msgspec.Struct, frozen=True):
    """One existing resource.

    Attributes:
        arn: Its ARN.
        usd_per_day: Its daily price; None if the price is not known.
    """

    arn: str
    usd_per_day: float | None


def standing(target: Target, stack: str, names: Iterable[str], deleted: Collection[str] = ()) -> list[Standing]:
    """Return all resources with the stack's tag.

    Args:
        target: The account and region.
        stack: The stack's name.
        names: The functions that a deployment may have.
        deleted: IDs of resources that are known to be deleted.
    """
    arns = [*_tagged(target, stack), *_roles(target, stack), *_functions(target, stack, names)]
    left = [arn for arn in dict.fromkeys(arns) if not any(_names(arn, identity) for identity in deleted)]
    return [Standing(arn, _usd_per_day(target, arn)) for arn in sorted(left)]


def _tagged(target: Target, stack: str) -> list[str]:
    pages = (
        target.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(TagFilters=[{"Key": STACK_TAG, "Values": [stack]}])
    )
    return [entry["ResourceARN"] for page in pages for entry in page["ResourceTagMappingList"]]


def _roles(target: Target, stack: str) -> list[str]:
    iam = target.client("iam")
    roles = [role for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]]
    # CloudFormation begins a role's name with the stack's name, truncated to the available length.
    ours = [role for role in roles if role["RoleName"].startswith(stack[:20])]
    return [role["Arn"] for role in ours if _has_tag(iam.list_role_tags(RoleName=role["RoleName"])["Tags"], stack)]


def _functions(target: Target, stack: str, names: Iterable[str]) -> list[str]:
    client = target.client("lambda")
    found = functions.present(client, names, stack)
    return [client.get_function(FunctionName=name)["Configuration"]["FunctionArn"] for name in found]


def _has_tag(tags: Iterable[dict[str, str]], stack: str) -> bool:
    return any(tag["Key"] == STACK_TAG and tag["Value"] == stack for tag in tags)


def _names(arn: str, identity: str) -> bool:
    """Return whether an ARN belongs to a physical ID: a name, an ID, an ARN, or a queue's URL."""
    tail = identity.rpartition("/")[2] if identity.startswith("https://") else identity
    return arn == identity or arn.endswith((f":{tail}", f"/{tail}"))


def _usd_per_day(target: Target, arn: str) -> float | None:
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    price = _PRICED.get((service, resource.replace(":", "/").partition("/")[0]))
    if service == "s3":
        price = _bucket
    if price is None:
        return 0.0
    prices = prices_of(target.region)
    return price(target, resource, prices) if prices else None


def _cluster(target: Target, resource: str, prices: Prices) -> float | None:
    identity = resource.rpartition(":")[2]
    (cluster,) = target.client("elasticache").describe_cache_clusters(CacheClusterId=identity)["CacheClusters"]
    node = prices.cache_nodes.get(cluster["CacheNodeType"])
    return None if node is None else node.usd * int(cluster["NumCacheNodes"]) * HOURS_PER_DAY


def _endpoint(target: Target, resource: str, prices: Prices) -> float | None:
    identity = resource.rpartition("/")[2]
    (endpoint,) = target.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[identity])["VpcEndpoints"]
    zones = len(endpoint.get("SubnetIds", [])) if endpoint["VpcEndpointType"] == "Interface" else 0
    return float(zones * HOURS_PER_DAY * prices.endpoint_hour)


def _repository(target: Target, resource: str, prices: Prices) -> float | None:
    pages = target.client("ecr").get_paginator("describe_images").paginate(repositoryName=resource.partition("/")[2])
    size = sum(int(image.get("imageSizeInBytes", 0)) for page in pages for image in page["imageDetails"])
    return size / _GB * prices.ecr_gb_month / _DAYS_PER_MONTH


def _bucket(target: Target, resource: str, prices: Prices) -> float | None:
    pages = target.client("s3").get_paginator("list_objects_v2").paginate(Bucket=resource)
    size = sum(int(entry["Size"]) for page in pages for entry in page.get("Contents", []))
    return size / _GB * prices.s3_gb_month / _DAYS_PER_MONTH


_PRICED: dict[tuple[str, str], Callable[[Target, str, Prices], float | None]] = {
    ("elasticache", "cluster"): _cluster,
    ("ec2", "vpc-endpoint"): _endpoint,
    ("ecr", "repository"): _repository,
}
