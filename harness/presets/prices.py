"""AWS's prices by region, each with its source, from one dated TOML file; see docs/presets.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from harness.errors import HarnessError
from harness.presets.source_file import describe_known, find_file, read_toml, shipped_names

PRICE_LISTS = Path(__file__).parent / "price_lists"
DEFAULT_LIST = "aws-2026-11"
DEFAULT_REGION = "us-east-1"

_Text = Annotated[str, msgspec.Meta(min_length=1)]
# Tables of prices by type, beside the single prices of the catalogue.
_BY_TYPE = ("cache_nodes", "ec2")


class PriceKind(NamedTuple):
    """An entry of the catalogue.

    Attributes:
        unit: Its unit.
        meaning: What is paid, in one line.
    """

    unit: str
    meaning: str


PRICES: dict[str, PriceKind] = {
    "lambda_gb_s": PriceKind("USD/GB-s", "Lambda on x86, memory size times billed duration"),
    "lambda_gb_s_arm": PriceKind("USD/GB-s", "Lambda on arm64, memory size times billed duration"),
    "requests_1m": PriceKind("USD/1M requests", "invocations of functions"),
    "s3_get_1k": PriceKind("USD/1,000", "reads from S3, storage class Standard"),
    "s3_put_1k": PriceKind("USD/1,000", "writes to S3 and lists of its keys, storage class Standard"),
    "zone_gb": PriceKind(
        "USD/GB", "what a function sends to another zone and what it receives from there; the cache's side is free"
    ),
    "endpoint_hour": PriceKind("USD/hour", "an interface endpoint in one zone"),
    "endpoint_gb": PriceKind("USD/GB", "what passes an interface endpoint, either way"),
    "s3_gb_month": PriceKind("USD/GB-month", "objects in S3, storage class Standard"),
    "ecr_gb_month": PriceKind("USD/GB-month", "images in a private repository of ECR"),
    "logs_gb": PriceKind("USD/GB", "log lines that CloudWatch Logs takes in"),
    "logs_gb_month": PriceKind("USD/GB-month", "log lines that CloudWatch Logs keeps"),
    "sqs_1m": PriceKind("USD/1M requests", "requests to a standard queue of SQS"),
}
CACHE_NODE = PriceKind("USD/hour", "a node of ElastiCache for Memcached")
EC2_INSTANCE = PriceKind("USD/hour", "an instance of EC2 with Linux")


class Price(msgspec.Struct, frozen=True):
    """A price.

    Attributes:
        usd: The price, in USD per unit of `PRICES`.
        source: Who says so.
        date: The date of the source.
        doubt: Why it may not be what you pay; empty if nothing is known against it.
    """

    usd: float
    source: str
    date: str
    doubt: str


class Prices(msgspec.Struct, frozen=True):
    """The prices of one region, on demand, without taxes, free tiers and discounts.

    Attributes:
        price_list: The name of the price list.
        date: The date of the price list.
        region: The region.
        single: Every price of `PRICES`, by name.
        cache_nodes: Nodes of the cache, by type.
        ec2: Instances of EC2, by type.
    """

    price_list: str
    date: str
    region: str
    single: dict[str, Price]
    cache_nodes: dict[str, Price]
    ec2: dict[str, Price]

    @property
    def lambda_gb_s(self) -> float:
        """Lambda on x86, in USD per GB-second; 1 GB is 1,024 MB of memory size."""
        return self.single["lambda_gb_s"].usd

    @property
    def lambda_gb_s_arm(self) -> float:
        """Lambda on arm64, in USD per GB-second."""
        return self.single["lambda_gb_s_arm"].usd

    @property
    def requests_1m(self) -> float:
        """Invocations, in USD per million."""
        return self.single["requests_1m"].usd

    @property
    def s3_get_1k(self) -> float:
        """Reads from S3, in USD per 1,000."""
        return self.single["s3_get_1k"].usd

    @property
    def s3_put_1k(self) -> float:
        """Writes to S3, in USD per 1,000."""
        return self.single["s3_put_1k"].usd

    @property
    def zone_gb(self) -> float:
        """Traffic between a function and another zone, in USD per GB, each way."""
        return self.single["zone_gb"].usd

    @property
    def endpoint_hour(self) -> float:
        """An interface endpoint in one zone, in USD per hour."""
        return self.single["endpoint_hour"].usd

    @property
    def endpoint_gb(self) -> float:
        """What passes an interface endpoint, in USD per GB."""
        return self.single["endpoint_gb"].usd

    @property
    def s3_gb_month(self) -> float:
        """Objects in S3, in USD per GB and month."""
        return self.single["s3_gb_month"].usd

    @property
    def ecr_gb_month(self) -> float:
        """Images in ECR, in USD per GB and month."""
        return self.single["ecr_gb_month"].usd

    def cache_node(self, node_type: str) -> float:
        """Return the price of a node of the cache, in USD per hour.

        Raises:
            HarnessError: The price list has no such type in this region.
        """
        return self._of_type("cache node", node_type, self.cache_nodes)

    def ec2_hour(self, instance_type: str) -> float:
        """Return the price of an instance of EC2 with Linux, in USD per hour.

        Raises:
            HarnessError: The price list has no such type in this region.
        """
        return self._of_type("EC2 instance", instance_type, self.ec2)

    def _of_type(self, kind: str, name: str, known: Mapping[str, Price]) -> float:
        if name not in known:
            raise HarnessError(
                f"the price of {kind} {name!r} in {self.region} is not known",
                f"price list {self.price_list}",
                f"known: {', '.join(known) or 'none'}",
            )
        return known[name].usd


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: _Text
    date: _Text
    doubt: str = ""


class _PriceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: _Text
    date: _Text
    sources: dict[str, _Source]
    # Region, source, and the prices that this source gives for the region.
    regions: dict[str, dict[str, dict[str, Any]]]


def shipped_price_lists() -> list[str]:
    """Return the names of the price lists that the harness ships, the newest first."""
    return shipped_names(PRICE_LISTS)[::-1]


def priced_regions(price_list: str = DEFAULT_LIST) -> list[str]:
    """Return the regions that a price list has, in its order.

    Raises:
        HarnessError: There is no such price list, or it is wrong.
    """
    content, _ = _read(price_list)
    return list(content.regions)


def load_prices(region: str = DEFAULT_REGION, price_list: str = DEFAULT_LIST) -> Prices:
    """Return the prices of a region.

    Args:
        region: The region's code, as `eu-central-1`.
        price_list: A name of `shipped_price_lists`, or the path of a TOML file.

    Raises:
        HarnessError: There is no such price list, it lacks the region, or it is wrong; the message names the price.
    """
    content, where = _read(price_list)
    if region not in content.regions:
        raise HarnessError(
            f"prices of region {region!r} are not known",
            f"price list {where}",
            describe_known("regions", region, content.regions) + "; or give your own prices",
        )
    single: dict[str, Price] = {}
    by_type: dict[str, dict[str, Price]] = {table: {} for table in _BY_TYPE}
    for source, table in content.regions[region].items():
        at = f"regions.{region}.{source}, {where}"
        if source not in content.sources:
            raise HarnessError(f"{source!r} is no source", at, describe_known("sources", source, content.sources))
        for name, value in table.items():
            if name in _BY_TYPE:
                _add(by_type[name], value, content.sources[source], f"{name} of {at}")
            elif name in PRICES:
                _add(single, {name: value}, content.sources[source], at)
            else:
                raise HarnessError(
                    f"there is no price {name!r}", at, describe_known("prices", name, (*PRICES, *_BY_TYPE))
                )
    missing = [name for name in PRICES if name not in single] + ["cache_nodes"] * (not by_type["cache_nodes"])
    if missing:
        raise HarnessError(f"region {region} lacks {', '.join(missing)}", f"price list {where}", "add them")
    ordered = {name: single[name] for name in PRICES}
    return Prices(content.name, content.date, region, ordered, by_type["cache_nodes"], by_type["ec2"])


def _add(prices: dict[str, Price], given: object, source: _Source, at: str) -> None:
    if not isinstance(given, dict):
        raise HarnessError(f"{given!r} is no table", at, 'write it as "cache.t3.micro" = 0.017')
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise HarnessError(f"{name} is {value!r}: a price is a number, 0 or more", at, "give it in USD")
        if name in prices:
            raise HarnessError(f"{name} has two prices", at, "keep one of them, under its source")
        prices[name] = Price(float(value), source.about, source.date, source.doubt)


def _read(name: str) -> tuple[_PriceList, str]:
    path = find_file(name, PRICE_LISTS, "price list")
    try:
        return msgspec.convert(read_toml(path, "price list"), _PriceList), str(path)
    except msgspec.ValidationError as error:
        raise HarnessError(f"the price list is wrong: {error}", str(path), "see docs/presets.md") from error
