"""What AWS charges for the parts of a run: the prices of one region, each of which a flag changes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from harness.presets.prices import Prices

# The node type whose bandwidth the presets have.
NODE_TYPE = "cache.t3.medium"


@dataclass(frozen=True, slots=True)
class Rates:
    """What AWS charges, in USD.

    Attributes:
        lambda_price: A GB-second of a function; 1 GB is 1,024 MB of memory size.
        request_price: A million invocations.
        store_price: An hour of a node of the cache.
        s3_get_price: A thousand reads from S3.
        s3_put_price: A thousand writes to S3 and lists of its keys.
        zone_price: A GB that a function sends to another zone or receives from there.
        endpoint_price: An hour of the functions' interface endpoint, in each zone.
    """

    lambda_price: float
    request_price: float
    store_price: float
    s3_get_price: float
    s3_put_price: float
    zone_price: float
    endpoint_price: float


class RateFlag(NamedTuple):
    """A rate as a flag of the command.

    Attributes:
        unit: Its unit.
        price: Its name in the price list; empty for a node of the cache, whose type has the price.
        meaning: What is paid.
    """

    unit: str
    price: str
    meaning: str


RATES: dict[str, RateFlag] = {
    "lambda_price": RateFlag("USD/GB-s", "lambda_gb_s", "a function's memory size times its billed duration, x86"),
    "request_price": RateFlag("USD/1M requests", "requests_1m", "invocations"),
    "store_price": RateFlag("USD/node-hour", "", "a node of the cache"),
    "s3_get_price": RateFlag("USD/1,000", "s3_get_1k", "reads from S3"),
    "s3_put_price": RateFlag("USD/1,000", "s3_put_1k", "writes to S3, and lists of its keys"),
    "zone_price": RateFlag("USD/GB", "zone_gb", "traffic of functions with another zone"),
    "endpoint_price": RateFlag("USD/hour", "endpoint_hour", "the functions' interface endpoint, in each zone"),
}


def rates_of(prices: Prices, node_type: str = NODE_TYPE, changed: Mapping[str, float | None] | None = None) -> Rates:
    """Return the rates of a region.

    Args:
        prices: The region's prices.
        node_type: The type of the cache's nodes.
        changed: Rates that differ, by name.

    Raises:
        HarnessError: The region's price list has no such type, and its price is not among the changed rates.
    """
    given = {name: value for name, value in (changed or {}).items() if value is not None}
    for name, flag in RATES.items():
        if name not in given:
            given[name] = prices.single[flag.price].usd if flag.price else prices.cache_node(node_type)
    return Rates(**{field.name: given[field.name] for field in fields(Rates)})
