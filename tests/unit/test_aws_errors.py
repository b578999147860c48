"""What AWS's clients raise, in the user's terms."""

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from harness.aws.errors import to_harness_error


@pytest.mark.parametrize("kind", [EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError])
def test_a_service_of_this_machine_is_not_taken_for_aws(kind):
    """The address and `harness status` are named, not the network and the region."""
    error = to_harness_error("the run", kind(endpoint_url="http://127.0.0.1:4566/bucket", error="refused"))

    assert error.what == "the stack's service at 127.0.0.1:4566 does not answer"
    assert "harness status" in error.remedy
    assert "region" not in str(error)


def test_an_address_of_aws_is_still_aws():
    """There the network and the region are what to check."""
    error = to_harness_error("the run", EndpointConnectionError(endpoint_url="https://s3.eu-west-9.amazonaws.com/"))

    assert error.what == "AWS cannot be reached"
    assert "region" in error.remedy
