"""The CloudFormation template, as harness deploy reads it."""

import pytest

from harness.deploy.access import FUNCTIONS
from harness.deploy.intrinsics import Resolver, parse
from harness.deploy.prices import by_use, price_per_hour, prices_of, total_per_hour
from harness.deploy.template import (
    Resource,
    describe,
    load_template,
    output_name,
    parameters_of,
    with_defaults,
)
from harness.errors import HarnessError
from harness.images.catalogue import RECIPES
from harness.settings import load_settings

GIVEN = {"AvailabilityZones": "us-east-1a,us-east-1b", "S3PrefixListId": "pl-63a5400a"}


@pytest.fixture(scope="module")
def body() -> str:
    """The template's text."""
    return load_template()


@pytest.fixture(scope="module")
def parameters(body) -> dict[str, str]:
    """The value of every parameter."""
    return with_defaults(body, GIVEN)


def test_a_budget_is_made_only_when_it_is_asked_for(body):
    """Conditions decide about resources as they will on AWS."""
    without, wanted = describe(body), describe(body, {"BudgetUsd": "20"})

    assert {entry.type for entry in wanted} - {entry.type for entry in without} == {"AWS::Budgets::Budget"}


def test_every_function_with_an_image_has_a_role_a_repository_and_logs(body):
    """What harness.toml declares can be deployed."""
    declared = {name for name, function in load_settings().functions.items() if function.image}
    resolver = Resolver(parse(body), {}, stack="prod")
    outputs = parse(body)["Outputs"]

    assert declared == set(FUNCTIONS)
    assert set(RECIPES) == {
        resolver.properties(name)["RepositoryName"].removeprefix("prod/")
        for name in resolver.of_type("AWS::ECR::Repository")
    }
    assert {f"/aws/lambda/{name}" for name in declared} == {
        resolver.properties(name)["LogGroupName"] for name in resolver.of_type("AWS::Logs::LogGroup")
    }
    for name in declared:
        assert outputs[output_name(name, "RoleArn")]["Value"] == {"Fn::GetAtt": [f"{camel_of(name)}Role", "Arn"]}
        assert output_name(name, "RepositoryUri") in outputs


def camel_of(name: str) -> str:
    """A function's name within logical IDs."""
    return output_name(name, "RoleArn").removesuffix("RoleArn")


def test_output_names_take_a_functions_name_without_underscores():
    """Logical IDs take letters and digits only."""
    assert output_name("linear_ec_2_nn", "RepositoryUri") == "LinearEc2NnRepositoryUri"


def test_the_bucket_is_named_after_stack_account_and_region(body):
    """Bucket names are shared by all accounts of AWS."""
    resolver = Resolver(parse(body), {}, account="210987654321", region="eu-central-1", stack="team-a")

    assert resolver.properties("DataBucket")["BucketName"] == "team-a-data-210987654321-eu-central-1"


def test_names_differ_by_stack_so_that_two_stand_side_by_side(body):
    """Only the functions, and so their log groups, keep their names."""
    one, other = (Resolver(parse(body), {}, stack=stack) for stack in ("one", "other"))
    named = ("AWS::S3::Bucket", "AWS::ECR::Repository", "AWS::SQS::Queue")

    for name in (name for kind in named for name in one.of_type(kind)):
        assert one.resolve({"Ref": name}) != other.resolve({"Ref": name})


class TestParameters:
    """Values are refused before anything is pushed, and the error tells what would be right."""

    def test_defaults_fill_what_is_not_given(self, body):
        """Every parameter has a value."""
        values = with_defaults(body, {**GIVEN, "CacheNodes": "3"})

        assert values["CacheNodes"] == "3"
        assert values["CacheNodeType"] == "cache.t3.micro"
        assert values.keys() == parameters_of(body).keys()

    @pytest.mark.parametrize(
        ("name", "value", "wanted"),
        [
            ("CacheNodeType", "t3.micro", "cache"),
            ("CacheNodes", "0", "from 1 to 40"),
            ("CacheNodes", "many", "from 1 to 40"),
            ("CacheItemBytes", "1000000", "1048576, 2097152"),
            ("VpcCidr", "10.42.0.0/8", "1[6-9]"),
            ("BudgetUsd", "-1", "from 0"),
            ("BudgetUsd", "inf", "a number from 0"),
            ("CacheNodes", "1.5", "a whole number from 1 to 40"),
            ("CacheNodes", "1e1", "a whole number from 1 to 40"),
            ("VpcCidr", "999.1.1.1/16", "10.42.0.0/20"),
            ("SubnetCidrs", "10.42.0.0/20", "two values"),
            ("SubnetCidrs", "a,b", "10.42.0.0/20"),
            ("AvailabilityZones", "us-east-1a", "two values"),
            ("AvailabilityZones", "us-east-1a,", "two values"),
            ("AvailabilityZones", "us-east-1a,us-east-1b,us-east-1c", "two values"),
            ("PrimaryZone", "us-east-1b", "one of 1, 2"),
            ("PrimaryZone", "0", "one of 1, 2"),
            ("FunctionZones", "2", "one of one, all"),
            ("BudgetEmail", "nobody", "@"),
            ("S3PrefixListId", "com.amazonaws.us-east-1.s3", "pl-"),
        ],
    )
    def test_a_value_out_of_range_is_refused_with_what_it_takes(self, body, name, value, wanted):
        """Patterns, lists and limits are those of the template."""
        with pytest.raises(HarnessError) as raised:
            with_defaults(body, {**GIVEN, name: value})

        assert name in raised.value.what
        assert value in raised.value.what
        assert wanted in raised.value.remedy

    def test_an_unknown_name_is_refused_with_those_that_exist(self, body):
        """A misspelt `--parameter` is no silent default."""
        with pytest.raises(HarnessError, match="no parameter CacheType") as raised:
            with_defaults(body, {**GIVEN, "CacheType": "cache.t3.micro"})

        assert "CacheNodeType" in raised.value.remedy

    def test_what_has_no_default_must_be_given(self, body):
        """The parameter is named."""
        with pytest.raises(HarnessError, match="AvailabilityZones has no value"):
            with_defaults(body, {"S3PrefixListId": "pl-63a5400a"})

    def test_a_budget_needs_somebody_to_tell(self, body):
        """As the template's own rule has it."""
        with pytest.raises(HarnessError, match="BudgetEmail is empty"):
            with_defaults(body, {**GIVEN, "BudgetUsd": "20"})


class TestHandEdits:
    """A template that was edited by hand fails with the line, not with a traceback."""

    def test_broken_yaml_names_the_line(self, body):
        """The error says where to look."""
        lines = body.splitlines()
        lines[20] = "  Project: [unclosed"

        with pytest.raises(HarnessError, match="no YAML") as raised:
            parse("\n".join(lines))

        assert "line" in raised.value.where

    def test_a_reference_to_nothing_names_it(self, body):
        """The missing resource is named."""
        with pytest.raises(HarnessError, match="DataBukket"):
            Resolver(parse(body.replace("!Ref DataBucket", "!Ref DataBukket")), {}).properties("DataBucketPolicy")

    def test_a_function_that_is_not_known_here_is_named(self):
        """Nothing is resolved to a guess."""
        resolver = Resolver({"Resources": {}}, {})

        with pytest.raises(HarnessError, match="Fn::Cidr"):
            resolver.resolve({"Fn::Cidr": ["10.0.0.0/16", 2, 8]})

    def test_text_without_resources_is_no_template(self):
        """YAML alone is not enough."""
        with pytest.raises(HarnessError, match="no Resources"):
            parse("Outputs: {}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Fn::Sub": "${AWS::StackName}-${!literal}"}, "s-${literal}"),
        ({"Fn::Sub": ["${a}/${Bucket}", {"a": {"Ref": "Size"}}]}, "7/my-bucket"),
        ({"Fn::Sub": "${Bucket.Arn}/*"}, "arn:aws:s3:::my-bucket/*"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "arn:aws:s3:::my-bucket"),
        ({"Fn::Join": [",", [{"Ref": "Size"}, "b"]]}, "7,b"),
        ({"Fn::Select": [1, {"Ref": "Zones"}]}, "b"),
        ({"Fn::Select": ["0", {"Fn::Split": ["-", "x-y"]}]}, "x"),
        ({"Fn::If": ["IsLarge", "large", "small"]}, "large"),
        ({"Condition": {"Bool": {"k": {"Ref": "Size"}}}}, {"Condition": {"Bool": {"k": "7"}}}),
    ],
)  # fmt: skip
def test_functions_give_what_cloudformation_gives(value, expected):
    """One case for each function; a policy's `Condition` is no function."""
    template = {
        "Parameters": {
            "Size": {"Type": "Number", "Default": "7"},
            "Zones": {"Type": "List<AWS::EC2::AvailabilityZone::Name>"},
        },
        "Conditions": {
            "IsSmall": {"Fn::Equals": [{"Ref": "Size"}, "1"]},
            "IsOdd": {"Fn::Or": [{"Fn::Equals": [{"Ref": "Size"}, 7]}, {"Condition": "IsSmall"}]},
            "IsLarge": {"Fn::And": [{"Fn::Not": [{"Condition": "IsSmall"}]}, {"Condition": "IsOdd"}]},
        },
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "my-bucket"}}},
    }  # fmt: skip
    resolver = Resolver(template, {"Zones": "a, b"}, region="eu-west-1", stack="s")

    assert resolver.resolve(value) == expected


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_arns_belong_to_the_regions_partition(body, region, partition):
    """China and GovCloud have ARNs of their own."""
    resolver = Resolver(parse(body), {}, region=region)

    assert resolver.resolve({"Fn::GetAtt": ["DataBucket", "Arn"]}).startswith(f"arn:{partition}:s3")


class TestPrices:
    """The plan shows what a deployment costs by the hour."""

    prices = prices_of("us-east-1")

    def test_only_cache_and_interface_endpoint_cost_by_the_hour(self, body, parameters):
        """All other prices are known to be nothing."""
        costs = {entry.logical_id: price_per_hour(entry, parameters, self.prices) for entry in describe(body)}

        assert {name for name, price in costs.items() if price} == {"Cache", "LambdaEndpoint"}
        assert None not in costs.values()
        assert total_per_hour(describe(body), parameters, self.prices) == pytest.approx(0.017 + 0.01)

    def test_nodes_and_zones_are_counted(self, body, parameters):
        """The price grows with the parameters."""
        larger = {**parameters, "CacheNodes": "3", "CacheNodeType": "cache.t3.medium"}

        both = {**larger, "FunctionZones": "all"}

        assert total_per_hour(describe(body, larger), larger, self.prices) == pytest.approx(3 * 0.068 + 0.01)
        assert total_per_hour(describe(body, both), both, self.prices) == pytest.approx(3 * 0.068 + 0.02)

    def test_a_price_that_is_not_known_is_not_zero(self, parameters):
        """An unknown node type or resource has no price."""
        cache = Resource("Cache", "AWS::ElastiCache::CacheCluster")

        assert price_per_hour(cache, {**parameters, "CacheNodeType": "cache.x9.huge"}, self.prices) is None
        assert price_per_hour(Resource("Gateway", "AWS::EC2::NatGateway"), parameters, self.prices) is None

    def test_a_region_that_the_price_list_lacks_has_no_prices(self, body, parameters):
        """The cache's price there is not known, and what is paid by use says that it is."""
        prices = prices_of("xx-nowhere-1")
        costs = {entry.logical_id: price_per_hour(entry, parameters, prices) for entry in describe(body)}
        words = {entry.type: by_use(entry, prices) for entry in describe(body)}

        assert {name for name, price in costs.items() if price is None} == {"Cache", "LambdaEndpoint"}
        assert "not known" in words["AWS::S3::Bucket"]
        assert words["AWS::IAM::Role"] == ""

    def test_what_is_paid_by_use_says_so(self, body):
        """A bucket is not free because an hour of it is."""
        words = {entry.type: by_use(entry, self.prices) for entry in describe(body)}

        assert words["AWS::S3::Bucket"] == "0.023 USD per GB and month; 0.005 per 1,000 PUT, 0.0004 per 1,000 GET"
        assert words["AWS::IAM::Role"] == ""
