"""What invocations cost on AWS Lambda: on x86, in the first tier."""

from harness.presets.prices import Prices
from harness.runs.progress import InvocationReport


def invocation_cost_usd(report: InvocationReport, prices: Prices) -> float:
    """Return the price of one invocation: billed time x memory size, plus the request."""
    return report.billed_ms / 1000 * report.memory_mb / 1024 * prices.lambda_gb_s + prices.requests_1m / 1e6
