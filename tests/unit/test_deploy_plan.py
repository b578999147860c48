"""The plan's price is that of the deployment's own region."""

import pytest

from harness.deploy.plan import DeploymentPlan, format_plan, plan_resources
from harness.deploy.prices import prices_of, total_per_hour
from harness.deploy.template import describe, load_template, with_defaults
from harness.deploy.zones import PlannedZones


def shown(region: str, **parameters: str) -> list[str]:
    """The lines of a plan for a new deployment in a region."""
    body = load_template()
    values = with_defaults(body, {"AvailabilityZones": "a,b", "S3PrefixListId": "pl-1", **parameters})
    resources, prices = describe(body, values), prices_of(region)
    plan = DeploymentPlan(
        target="aws",
        account="111122223333",
        region=region,
        stack="demo",
        resources=plan_resources(resources, values, prices, exists=False, change_set=None),
        images=[],
        functions=[],
        usd_per_hour=total_per_hour(resources, values, prices),
        price_list=prices.price_list if prices else "",
        zones=PlannedZones(1, "a", "", ["a"], "b", None),
        notes=[],
    )
    return list(format_plan(plan))


@pytest.mark.parametrize(
    ("region", "cost"),
    [
        ("us-east-1", "0.027 USD per hour, 0.65 per day (us-east-1, price list aws-2026-11)"),
        ("eu-central-1", "0.031 USD per hour, 0.74 per day (eu-central-1, price list aws-2026-11)"),
        ("eu-south-2", "not known: the price list lacks eu-south-2"),
    ],
)
def test_the_plan_ends_with_the_regions_price(region: str, cost: str):
    """Frankfurt costs more than North Virginia, and a region without prices is not free."""
    assert shown(region)[-1].endswith(f"used or not: {cost}")


def test_what_is_paid_by_use_is_the_regions_too():
    """S3 and logs cost more in Frankfurt."""
    (bucket,) = [line for line in shown("eu-central-1") if "AWS::S3::Bucket " in line]
    (unknown,) = [line for line in shown("eu-south-2") if "AWS::S3::Bucket " in line]

    assert "0.0245 USD per GB and month; 0.0054 per 1,000 PUT, 0.00043 per 1,000 GET" in bucket
    assert "by use, at a price that is not known for this region" in unknown


def test_a_node_without_a_price_is_named():
    """The rest of the sum is shown all the same."""
    lines = shown("eu-central-1", CacheNodeType="cache.m7g.large")

    assert "without Cache, whose price is not known" in lines[-1]
    assert [line for line in lines if "ElastiCache::CacheCluster" in line and "? USD/h" in line]
