"""Find mistakes that a rehearsal cannot show before AWS does, with cfn-lint's rules and our own.

template    a service that functions call but cannot reach; functions in another zone than the cache; a service whose
            security group admits nobody; resources without tags; permissions on everything; roles that allow less or
            more than the handlers' calls
functions   a time limit left at 3 s, a worker that may not invoke itself, too little concurrency, an item limit below
            the model's size, a function without a role in the template
creation    SnapStart on an image, an image referenced by tag, a function outside of the VPC
"""

from collections.abc import Mapping
from textwrap import shorten

from harness.deploy import network_rules, resource_rules, zone_rules
from harness.deploy.finding import Finding
from harness.deploy.function_rules import check_creation, check_functions
from harness.deploy.intrinsics import FILE_NAME, REGION, Resolver, parse

__all__ = ["Finding", "check_creation", "check_functions", "check_template"]

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_BYTES = 51_200
_LONGEST_MESSAGE = 240


def check_template(
    body: str, parameters: Mapping[str, str] | None = None, *, region: str = REGION, lint: bool = True
) -> list[Finding]:
    """Return the mistakes in a template.

    Args:
        body: The template.
        parameters: Values that differ from the defaults.
        region: The region of the deployment; cfn-lint's rules depend on it.
        lint: Whether to run cfn-lint too, which takes some seconds.

    Raises:
        HarnessError: The template is not valid YAML, or uses an unknown intrinsic function.
    """
    given = parameters or {}
    template = parse(body)
    findings = _lint(body, region) if lint else []
    if any(finding.level == "error" for finding in findings):
        return findings  # our rules assume a template that passes cfn-lint
    if len(body.encode()) > TEMPLATE_BYTES:
        size = f"the template has {len(body.encode())} bytes, CloudFormation accepts {TEMPLATE_BYTES}"
        findings.append(Finding("template-size", FILE_NAME, size, "shorten it"))
    resolver = Resolver(template, given, region=region)
    for rule in (*network_rules.RULES, *zone_rules.RULES, *resource_rules.RULES):
        findings += rule(template, resolver)
    return findings + resource_rules.check_access(body, given, region)


def _lint(body: str, region: str) -> list[Finding]:
    # Importing cfn-lint takes seconds, and most callers of this module do not need it.
    from cfnlint.api import lint  # noqa: PLC0415
    from cfnlint.config import ManualArgs  # noqa: PLC0415

    matches = lint(body, config=ManualArgs(regions=[region], include_checks=["I"]))
    return [
        Finding(
            match.rule.id,
            f"{FILE_NAME}, line {match.linenumber}",
            # The message about a dangling reference lists every name in the template.
            shorten(match.message, _LONGEST_MESSAGE, placeholder=" ..."),
            match.rule.source_url or match.rule.description,
            "error" if match.rule.id.startswith("E") else "warning",
        )
        for match in matches
    ]
