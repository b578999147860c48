"""Mistakes that a rehearsal cannot show, found before AWS does: cfn-lint's rules, and traps that we know of.

template    no way from the functions to a service that they call; a service whose group lets nobody in; resources
            without tags; permissions on everything; roles that do not allow what handlers call, or allow more
functions   a time limit left at 3 s, a worker that may not call itself, too little concurrency, an item limit below
            the model, a function that the template has no role for
creation    SnapStart on an image, an image by its tag, a function outside of the VPC
"""

from collections.abc import Mapping
from textwrap import shorten

from harness.deploy import network_rules, resource_rules
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
    """What is wrong with a template; an empty list when nothing is.

    Args:
        body: The template.
        parameters: Values that differ from the defaults.
        region: Where it will be deployed; what cfn-lint knows differs by region.
        lint: Whether cfn-lint is asked, too, which takes some seconds.

    Raises:
        HarnessError: The template is no YAML, or uses a function that is not known here.
    """
    given = parameters or {}
    template = parse(body)
    findings = _lint(body, region) if lint else []
    if any(finding.level == "error" for finding in findings):
        return findings  # our rules presume what cfn-lint checks
    if len(body.encode()) > TEMPLATE_BYTES:
        size = f"the template has {len(body.encode())} bytes, CloudFormation takes {TEMPLATE_BYTES}"
        findings.append(Finding("template-size", FILE_NAME, size, "shorten it"))
    resolver = Resolver(template, given, region=region)
    for rule in (*network_rules.RULES, *resource_rules.RULES):
        findings += rule(template, resolver)
    return findings + resource_rules.check_access(body, given, region)


def _lint(body: str, region: str) -> list[Finding]:
    # It takes seconds to import, and most callers of this module want it last.
    from cfnlint.api import lint  # noqa: PLC0415
    from cfnlint.config import ManualArgs  # noqa: PLC0415

    matches = lint(body, config=ManualArgs(regions=[region], include_checks=["I"]))
    return [
        Finding(
            match.rule.id,
            f"{FILE_NAME}, line {match.linenumber}",
            # A reference to nothing is told with all that there is.
            shorten(match.message, _LONGEST_MESSAGE, placeholder=" ..."),
            match.rule.source_url or match.rule.description,
            "error" if match.rule.id.startswith("E") else "warning",
        )
        for match in matches
    ]
