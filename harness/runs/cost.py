"""What invocations cost on AWS Lambda.

Prices: https://aws.amazon.com/lambda/pricing/ (us-east-1, x86, first tier; read in November 2026).
"""

from dataclasses import dataclass

from harness.runs.progress import InvocationReport


@dataclass(frozen=True, slots=True)
class LambdaPrices:
    """Prices in USD."""

    per_gb_s: float = 0.0000166667
    per_request: float = 0.20 / 1e6


def invocation_cost_usd(report: InvocationReport, prices: LambdaPrices) -> float:
    """Return the price of one invocation: billed time x memory size, plus the request."""
    return report.billed_ms / 1000 * report.memory_mb / 1024 * prices.per_gb_s + prices.per_request
