"""Functions and cache in different zones: `harness deploy --check` finds it, however the template says it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.deploy.checks import Finding, check_template
from harness.deploy.intrinsics import parse
from harness.deploy.template import load_template, with_defaults

BODY = load_template()
TEMPLATE = parse(BODY)
PARAMETERS = with_defaults(BODY, {"AvailabilityZones": "us-east-1a,us-east-1b", "S3PrefixListId": "pl-63a5400a"})
A, B = {"Ref": "SubnetA"}, {"Ref": "SubnetB"}

Edit = Callable[[dict[str, Any]], object]


def found(edit: Edit, **parameters: str) -> list[Finding]:
    """The findings about zones in an edited template."""
    template = copy.deepcopy(TEMPLATE)
    edit(template)
    findings = check_template(json.dumps(template), {**PARAMETERS, **parameters}, lint=False)
    return [finding for finding in findings if finding.rule == "zone"]


def functions_in(*subnets: object) -> Edit:
    """An edit of the subnets that functions get."""

    def edit(template: dict[str, Any]) -> None:
        template["Outputs"]["SubnetIds"]["Value"] = {"Fn::Join": [",", list(subnets)]}

    return edit


def cache(**properties: object) -> Edit:
    """An edit of the cache's properties; None removes one."""

    def edit(template: dict[str, Any]) -> None:
        of_cache = template["Resources"]["Cache"]["Properties"]
        of_cache.update(properties)
        for name in [name for name, value in properties.items() if value is None]:
            del of_cache[name]

    return edit


def both(*edits: Edit) -> Edit:
    """Several edits."""

    def edit(template: dict[str, Any]) -> None:
        for one in edits:
            one(template)

    return edit


def no_choice(template: dict[str, Any]) -> None:
    """An edit that takes away the parameter with which a user may choose both zones."""
    del template["Parameters"]["FunctionZones"]
    text = json.dumps(template).replace('{"Ref": "FunctionZones"}', '"one"')
    template.update(json.loads(text))


@pytest.mark.parametrize(
    ("edit", "where", "said"),
    [
        (functions_in(A, B), "Outputs.SubnetIds", "in us-east-1a and us-east-1b, but the cache is in us-east-1a"),
        (both(functions_in(A, B), no_choice), "Outputs.SubnetIds", "but the cache is in us-east-1a"),
        (functions_in(B), "Outputs.SubnetIds", "in us-east-1b, but the cache is in us-east-1a"),
        (cache(PreferredAvailabilityZone="us-east-1b"), "Outputs.SubnetIds", "but the cache is in us-east-1b"),
        # As it was before: ElastiCache chooses among the zones of the subnet group.
        (cache(PreferredAvailabilityZone=None), "Cache", "may be in us-east-1a or us-east-1b"),
        (
            both(cache(PreferredAvailabilityZone=None), functions_in(A, B)),
            "Cache",
            "may be in us-east-1a or us-east-1b, and the functions are in us-east-1a and us-east-1b",
        ),
        (cache(AZMode="cross-az", NumCacheNodes=2), "Cache", "may be in us-east-1a or us-east-1b"),
        (cache(PreferredAvailabilityZones=["us-east-1a", "us-east-1b"]), "Cache", "may be in us-east-1a or"),
        (cache(PreferredAvailabilityZone=None, CacheSubnetGroupName="of-somebody"), "Cache", "may be in any zone"),
        (cache(PreferredAvailabilityZone="us-east-1c"), "Cache", "its subnet group is in us-east-1a and us-east-1b"),
    ],
)
def test_functions_apart_from_the_cache_are_an_error(edit: Edit, where: str, said: str):
    """The finding names the zones, and has a remedy."""
    findings = found(edit)

    assert any(one.where == where and said in one.what and one.remedy for one in findings), findings
    assert {one.level for one in findings} == {"error"}


def test_the_price_in_time_is_part_of_the_finding():
    """Both figures of the default preset."""
    (finding,) = found(functions_in(A, B))

    assert "1.66 ms in place of 0.66" in finding.what
    assert "--zones all" in finding.remedy


@pytest.mark.parametrize(
    "edit",
    [
        functions_in(A, A),
        cache(PreferredAvailabilityZone={"Fn::GetAtt": ["SubnetA", "AvailabilityZone"]}),
        cache(PreferredAvailabilityZone=None, PreferredAvailabilityZones=["us-east-1a", "us-east-1a"], NumCacheNodes=2),
        # A subnet group with one subnet leaves no choice.
        both(
            cache(PreferredAvailabilityZone=None),
            lambda template: template["Resources"]["CacheSubnets"]["Properties"].update(SubnetIds=[A]),
        ),
        # A cache with the group's name instead of a reference.
        cache(CacheSubnetGroupName="lambda-harness-us-east-1a"),
    ],
)
def test_other_ways_to_say_one_zone_are_accepted(edit: Edit):
    """What counts is the zone, not how the template says it."""
    assert found(edit) == []


def test_both_zones_on_purpose_are_a_warning():
    """`--zones all` is the user's choice, with its price."""
    (finding,) = found(lambda _: None, FunctionZones="all")

    assert finding.level == "warning"
    assert "1.66 ms" in finding.what
    assert "--zones one" in finding.remedy


def test_all_zones_but_the_caches_are_an_error_even_on_purpose():
    """Nobody chooses that every round trip takes longer."""
    (finding,) = found(functions_in(B), FunctionZones="all")

    assert finding.level == "error"


@pytest.mark.parametrize(
    "edit",
    [
        functions_in("subnet-0123456789abcdef0"),
        lambda template: template["Resources"]["SubnetA"]["Properties"].pop("AvailabilityZone"),
    ],
)
def test_a_subnet_whose_zone_is_not_known_is_a_warning(edit: Edit):
    """The template may be right, but nobody can tell."""
    (finding,) = found(edit)

    assert finding.level == "warning"
    assert "is not in the template" in finding.what


def test_each_of_several_caches_is_checked():
    """A second cluster in the other zone does not pass with the first."""

    def edit(template: dict[str, Any]) -> None:
        second = copy.deepcopy(template["Resources"]["Cache"])
        second["Properties"]["PreferredAvailabilityZone"] = "us-east-1b"
        template["Resources"]["SecondCache"] = second

    (finding,) = found(edit)

    assert "the cache is in us-east-1b" in finding.what
