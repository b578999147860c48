"""Lambda's price beside EC2's: the break-even is where both cost the same."""

import pytest

from benchmarks.lambda_or_ec2 import EC2_LEAST_BILLED_S, EC2_START_S, LAMBDA_START_S, VIRTUAL_CPUS, Offer, offers
from harness.presets.prices import load_prices, priced_regions


@pytest.mark.parametrize("ratio", [1.5, 2.3, 5.0])
def test_both_cost_the_same_at_the_break_even(ratio):
    """Whether the minute of EC2's least bill has passed by then or not."""
    offer = Offer("an-instance", 2, ratio * 1e-5, 1e-5)
    seconds = offer.break_even_s

    assert offer.lambda_usd(seconds) == pytest.approx(offer.ec2_usd(seconds))
    assert offer.lambda_usd(seconds / 2) < offer.ec2_usd(seconds / 2)
    assert offer.lambda_usd(seconds * 2) > offer.ec2_usd(seconds * 2)


def test_a_short_job_pays_for_ec2_s_first_minute():
    """A job of a second costs as much as any that ends within the first minute."""
    (offer, *_) = offers(load_prices("us-east-1"))

    assert offer.ec2_usd(1) == offer.ec2_usd(EC2_LEAST_BILLED_S - EC2_START_S) == EC2_LEAST_BILLED_S * offer.ec2_s
    assert offer.lambda_usd(1) == (1 + LAMBDA_START_S) * offer.lambda_s


def test_every_instance_of_the_price_list_is_compared():
    """A new type in the price list needs its virtual CPUs."""
    for region in priced_regions():
        assert set(load_prices(region).ec2) <= VIRTUAL_CPUS.keys()
