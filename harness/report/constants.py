"""The constants of AWS in a forecast: each with its unit, source and date; each has a flag.

The sources are measurements that others have published, not the project's own measurements on AWS.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of AWS.

    Attributes:
        name: Its name; its flag has dashes.
        value: The default.
        unit: Its unit.
        source: Its source, with the date.
        positive: Whether it must be above 0.
    """

    name: str
    value: float
    unit: str
    source: str
    positive: bool = True


_LAMBDAML = "LambdaML, SIGMOD 2021, table 6"
_PRICES = "us-east-1, third-party copies of AWS's price list, November 2026"
CONSTANTS = (
    Constant(
        "start_scale", 1.0, "x", "1.2 / 11 / 18 / 35 s for 10 / 50 / 100 / 200 workers: LambdaML, 2021", positive=False
    ),
    Constant("s3_bandwidth", 65.0, "MB/s", f"one function: {_LAMBDAML}"),
    Constant("s3_latency", 80.0, "ms", _LAMBDAML, positive=False),
    Constant("store_latency", 0.3, "ms", "one zone, under a millisecond: AWS, ElastiCache; assumed", positive=False),
    Constant("store_bandwidth", 630.0, "MB/s", f"a node, cache.t3.medium: {_LAMBDAML}"),
    Constant("function_bandwidth", 75.0, "MB/s", "about 600 Mbit/s a function, AWS's limit; recalled"),
    Constant("store_nodes", 1, "nodes", "as deployed"),
    Constant("cpu_factor", 1.0, "x", "how much slower a vCPU of Lambda is than the core of the run; assumed"),
    Constant("lambda_price", 0.0000166667, "USD/GB-s", f"x86; {_PRICES}", positive=False),
    Constant("request_price", 0.20, "USD/1M requests", _PRICES, positive=False),
    Constant("store_price", 0.068, "USD/node-hour", f"cache.t3.medium; {_PRICES}", positive=False),
    Constant("s3_get_price", 0.0004, "USD/1,000", _PRICES, positive=False),
    Constant("s3_put_price", 0.005, "USD/1,000", _PRICES, positive=False),
)
