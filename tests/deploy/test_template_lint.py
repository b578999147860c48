"""cfn-lint on the template, and how its findings are reported."""

import pytest

from harness.deploy.checks import check_template
from harness.deploy.template import load_template, with_defaults

BODY = load_template()
PARAMETERS = with_defaults(BODY, {"AvailabilityZones": "us-east-1a,us-east-1b", "S3PrefixListId": "pl-63a5400a"})


@pytest.mark.parametrize(
    "region",
    ["us-east-1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("eu-central-1", "ap-southeast-2"))],
)
def test_the_template_is_free_of_findings(region: str):
    """cfn-lint has no error, no warning and no advice, and neither have our own rules."""
    assert check_template(BODY, PARAMETERS, region=region) == []


@pytest.mark.parametrize("primary", ["1", "2"])
def test_the_template_is_free_of_findings_in_either_zone(primary: str):
    """Whichever zone cache and functions share: subnet, routes and endpoint are there."""
    assert check_template(BODY, {**PARAMETERS, "PrimaryZone": primary}, lint=False) == []


def test_what_cfn_lint_finds_is_told_with_its_line():
    """A property that does not exist is an error, and our rules wait until it is mended."""
    lines = BODY.splitlines()
    where = next(number for number, line in enumerate(lines) if "EnableDnsSupport" in line)
    lines[where] = "      EnableDnsSuport: true"

    findings = check_template("\n".join(lines), PARAMETERS)

    assert [finding.rule for finding in findings] == ["E3002"]
    assert findings[0].where == f"template.yaml, line {where + 1}"
    assert "EnableDnsSuport" in findings[0].what
    assert findings[0].level == "error"
