"""AWS's prices by region, each with its source."""

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.presets.prices import (
    DEFAULT_LIST,
    DEFAULT_REGION,
    PRICES,
    load_prices,
    priced_regions,
    shipped_price_lists,
)

SOURCE = """
name = "mine"
date = "2026-12"

[sources.bill]
about = "our bill"
date = "2026-11"
"""
SINGLE = "\n".join(f"{name} = 0.5" for name in PRICES)
REGION = f"""
[regions.eu-north-1.bill]
{SINGLE}

[regions.eu-north-1.bill.cache_nodes]
"cache.t3.micro" = 0.017
"""


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a price list and returns its path."""

    def to_file(text: str) -> str:
        path = tmp_path / "prices.toml"
        path.write_text(text)
        return str(path)

    return to_file


@pytest.mark.parametrize("region", priced_regions())
def test_every_region_has_every_price_with_its_source(region: str):
    """A region is listed only if all of a deployment can be priced there."""
    prices = load_prices(region)

    every = [*prices.single.values(), *prices.cache_nodes.values(), *prices.ec2.values()]
    assert [price for price in every if not (price.source and price.date and price.doubt)] == []
    assert list(prices.single) == list(PRICES)
    # The template's own node type, and the one that a forecast assumes.
    assert prices.cache_node("cache.t3.micro") < 0.03
    assert prices.cache_node("cache.t3.medium") == pytest.approx(4 * prices.cache_node("cache.t3.micro"), rel=0.03)
    # AWS's relations between prices hold: arm is a fifth cheaper, a write of S3 costs as much as a dozen reads.
    assert prices.lambda_gb_s_arm == pytest.approx(0.8 * prices.lambda_gb_s, rel=1e-3)
    assert 12 <= prices.s3_put_1k / prices.s3_get_1k <= 13
    assert prices.zone_gb == 0.01
    # The instance that the advice compares with, a vCPU for each 2 GB.
    assert prices.ec2_hour("c7i.2xlarge") == pytest.approx(2 * prices.ec2_hour("c7i.xlarge"))


def test_north_virginia_costs_what_aws_publishes():
    """The prices that the forecast and the plan begin with."""
    prices = load_prices()

    assert (prices.region, prices.price_list) == (DEFAULT_REGION, DEFAULT_LIST) == ("us-east-1", "aws-2026-11")
    assert prices.lambda_gb_s == 0.0000166667
    assert prices.requests_1m == 0.20
    assert (prices.s3_get_1k, prices.s3_put_1k) == (0.0004, 0.005)
    assert prices.cache_node("cache.t3.medium") == 0.068
    assert (prices.endpoint_hour, prices.endpoint_gb) == (0.01, 0.01)
    assert prices.ec2_hour("c7i.2xlarge") == 0.357


def test_another_region_costs_more():
    """Frankfurt's endpoints, requests and nodes are not those of North Virginia."""
    here, there = load_prices("us-east-1"), load_prices("eu-central-1")

    assert there.endpoint_hour > here.endpoint_hour
    assert there.s3_put_1k > here.s3_put_1k
    assert there.cache_node("cache.t3.micro") > here.cache_node("cache.t3.micro")


def test_the_newest_list_is_the_default():
    """A list that is added becomes the default by its name."""
    assert shipped_price_lists()[0] == DEFAULT_LIST


def test_a_region_without_a_source_is_refused():
    """Nothing is guessed; what is there is listed."""
    with pytest.raises(HarnessError) as caught:
        load_prices("eu-centrl-1")

    assert "'eu-centrl-1'" in caught.value.what
    assert DEFAULT_LIST in caught.value.where
    assert "did you mean eu-central-1?" in caught.value.remedy
    assert "us-east-1, us-east-2" in caught.value.remedy


def test_a_type_that_is_not_listed_is_refused():
    """The region and the known types are told."""
    prices = load_prices("eu-west-1")

    with pytest.raises(HarnessError, match=r"'cache\.x9\.huge' in eu-west-1 is not known(.|\n)*cache\.t3\.micro"):
        prices.cache_node("cache.x9.huge")
    with pytest.raises(HarnessError, match=r"'p9\.huge' in eu-west-1 is not known(.|\n)*c7i\.2xlarge"):
        prices.ec2_hour("p9.huge")


def test_a_list_of_your_own(write):
    """A region that we have no source for, or your own discount."""
    prices = load_prices("eu-north-1", write(SOURCE + REGION))

    assert prices.lambda_gb_s == 0.5
    assert prices.cache_node("cache.t3.micro") == 0.017
    assert (prices.single["zone_gb"].source, prices.single["zone_gb"].date) == ("our bill", "2026-11")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (SOURCE + REGION.replace("zone_gb = 0.5", "zone_gb = -0.5"), ["zone_gb is -0.5", "0 or more"]),
        (SOURCE + REGION.replace("zone_gb = 0.5", "zone_gb = nan"), ["zone_gb is nan"]),
        (SOURCE + REGION.replace("zone_gb = 0.5", "zone_gb = inf"), ["zone_gb is inf"]),
        (SOURCE + REGION.replace("zone_gb = 0.5", 'zone_gb = "0.5"'), ["zone_gb is '0.5'"]),
        (SOURCE + REGION.replace("zone_gb = 0.5", "zone_gb = true"), ["zone_gb is True"]),
        (SOURCE + REGION.replace("zone_gb = 0.5", ""), ["eu-north-1 lacks zone_gb"]),
        (SOURCE + REGION.replace("zone_gb", "zone_gib"), ["'zone_gib'", "did you mean zone_gb?"]),
        (SOURCE + REGION.replace("1.bill", "1.bil"), ["'bil' is no source", "did you mean bill?"]),
        (SOURCE + REGION.replace("0.017", "[1]"), ["cache.t3.micro is [1]"]),
        (SOURCE + REGION.partition("[regions.eu-north-1.bill.cache")[0], ["lacks cache_nodes"]),
        (SOURCE + REGION.partition("\n[regions.eu-north-1.bill.cache")[0] + "ec2 = 3\n", ["3 is no table"]),
        (SOURCE.replace('about = "our bill"', "") + REGION, ["`about`"]),
        (SOURCE.replace("our bill", "") + REGION, ["$.sources[...].about"]),
        (SOURCE + "currency = 1\n" + REGION, ["unknown field `currency`"]),
        (SOURCE + '[sources.again]\nabout = "x"\ndate = "x"\n[regions.eu-north-1.again]\nzone_gb = 1.0\n' + REGION,
         ["zone_gb has two prices"]),
        ("name = mine", ["no TOML"]),
    ],
)  # fmt: skip
def test_a_wrong_list_is_explained(text: str, named: list[str], write):
    """The price, its value and the file are told."""
    path = write(text)

    with pytest.raises(HarnessError) as caught:
        load_prices("eu-north-1", path)

    assert [part for part in [*named, path] if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("aws-2025-11", ["no price list 'aws-2025-11'", "did you mean aws-2026-11?", "path of a TOML file"]),
        ("/", ["'/' is a folder"]),
    ],
)
def test_a_list_that_is_not_there_is_explained(name: str, named: list[str]):
    """What is known is listed."""
    with pytest.raises(HarnessError) as caught:
        load_prices("us-east-1", name)

    assert [part for part in named if part not in str(caught.value)] == []
