"""Compare what a second of computing costs on Lambda and on EC2, and how long a job must be for EC2 to be cheaper.

    python -m benchmarks.lambda_or_ec2 --region us-east-1

Prices are those of `harness presets --prices`. EC2 bills each second, at least 60 of them, from the start of the
machine on: https://aws.amazon.com/ec2/pricing/on-demand/. A virtual CPU is taken for equally quick on both.
"""

from collections.abc import Iterator
from typing import NamedTuple

import click

from benchmarks.screen import print_table
from harness.presets.prices import DEFAULT_REGION, Prices, load_prices
from harness.report.forecast import MB_PER_CPU

# Virtual CPUs of the types in the price list, https://aws.amazon.com/ec2/instance-types/, and whether they are arm64.
VIRTUAL_CPUS = {
    "c7i.large": (2, False),
    "c7i.xlarge": (4, False),
    "c7i.2xlarge": (8, False),
    "c7i.4xlarge": (16, False),
    "c7i.16xlarge": (64, False),
    "c7g.xlarge": (4, True),
    "m7i.large": (2, False),
    "m7i.xlarge": (4, False),
}
EC2_LEAST_BILLED_S = 60.0
# From the call to a login, mean of three: brevdev/ec2-coldboot-research, 2026; 23 s in its sweep of six types.
EC2_START_S = 26.0
# What runs before the first round of a warm deployment: an image's cold start and its imports.
LAMBDA_START_S = 0.5


class Offer(NamedTuple):
    """A virtual CPU of Lambda beside one of an instance of EC2.

    Attributes:
        instance: The type of the instance.
        cpus: Its virtual CPUs.
        lambda_s: USD of a second of one virtual CPU of Lambda, on the same architecture.
        ec2_s: USD of a second of one virtual CPU of the instance.
    """

    instance: str
    cpus: int
    lambda_s: float
    ec2_s: float

    @property
    def ratio(self) -> float:
        """Return how many times as much Lambda costs."""
        return self.lambda_s / self.ec2_s

    @property
    def break_even_s(self) -> float:
        """Return how long a job must compute for the instance, started for it alone, to be as cheap."""
        least = (EC2_LEAST_BILLED_S * self.ec2_s - LAMBDA_START_S * self.lambda_s) / self.lambda_s
        if least + EC2_START_S <= EC2_LEAST_BILLED_S:
            return least
        return (EC2_START_S * self.ec2_s - LAMBDA_START_S * self.lambda_s) / (self.lambda_s - self.ec2_s)

    def lambda_usd(self, seconds: float) -> float:
        """Return what one virtual CPU of Lambda costs for a job of these seconds of computing."""
        return (LAMBDA_START_S + seconds) * self.lambda_s

    def ec2_usd(self, seconds: float) -> float:
        """Return what one virtual CPU of an instance costs that is started for such a job."""
        return max(EC2_LEAST_BILLED_S, EC2_START_S + seconds) * self.ec2_s


def offers(prices: Prices) -> Iterator[Offer]:
    """Yield the types whose price and virtual CPUs are known."""
    for instance in prices.ec2:
        if instance in VIRTUAL_CPUS:
            cpus, arm = VIRTUAL_CPUS[instance]
            gb_s = prices.lambda_gb_s_arm if arm else prices.lambda_gb_s
            yield Offer(instance, cpus, MB_PER_CPU / 1024 * gb_s, prices.ec2_hour(instance) / 3600 / cpus)


@click.command()
@click.option("--region", default=DEFAULT_REGION, show_default=True, help="The region whose prices count.")
def main(*, region: str) -> None:
    """Print the price of a virtual CPU, and from which length on EC2 is cheaper."""
    rows = []
    for offer in offers(load_prices(region)):
        hour = (f"{3600 * usd:.4f}" for usd in (offer.lambda_s, offer.ec2_s))
        times = (f"{offer.ec2_usd(seconds) / offer.lambda_usd(seconds):.2f}" for seconds in (1, 10, 60, 600))
        rows.append(
            [
                offer.instance,
                str(offer.cpus),
                *hour,
                f"{offer.ratio:.2f}",
                f"{offer.break_even_s:.0f}",
                f"{100 / offer.ratio:.0f} %",
                *times,
            ]
        )
    headings = ["instance", "vCPU", "Lambda USD/vCPU-h", "EC2 USD/vCPU-h", "ratio", "cheaper from s", "busy at least"]
    print_table([*headings, "EC2 / Lambda: 1 s", "10 s", "60 s", "600 s"], rows)


if __name__ == "__main__":
    main()
