"""Extract the policies of a template's roles and VPC endpoints."""

from collections.abc import Mapping

from harness.deploy.intrinsics import ACCOUNT, REGION, STACK, Resolver, parse
from harness.iam import Policy


def role_policies(
    body: str, parameters: Mapping[str, str], account: str = ACCOUNT, region: str = REGION, *, stack: str = STACK
) -> dict[str, list[Policy]]:
    """Return the policies of every role of a template, by the role's logical ID.

    Args:
        body: The template.
        parameters: Values that differ from the defaults.
        account: The account's ID.
        region: The region.
        stack: The stack's name.
    """
    template = parse(body)
    resolver = Resolver(template, parameters, account=account, region=region, stack=stack)
    return {
        name: [entry["PolicyDocument"] for entry in resolver.properties(name).get("Policies", [])]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }


def endpoint_policies(resolver: Resolver) -> dict[str, list[Policy]]:
    """Return the policies of the VPC's endpoints, by service; they apply in addition to the role's policies."""
    return {
        properties["ServiceName"].rsplit(".", 1)[-1]: [properties["PolicyDocument"]]
        for properties in map(resolver.properties, resolver.of_type("AWS::EC2::VPCEndpoint"))
        if "PolicyDocument" in properties
    }
