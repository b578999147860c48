"""`--expect-account` where there is no account: without --target a command goes to the stack on this machine."""

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import HarnessError


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--n-workers", "1"],
        ["invoke", "linear_ec_1"],
        ["logs", "linear_ec_1"],
        ["runs"],
        ["forecast", "some-run"],
    ],
)
def test_an_account_without_a_target_is_refused(arguments):
    """The user believes to be on AWS: nothing is started and nothing invoked."""
    done = CliRunner().invoke(cli, [*arguments, "--expect-account", "1234-5678-9012"])

    assert isinstance(done.exception, HarnessError), done.output
    assert "--expect-account 123456789012" in str(done.exception)
    assert "--target aws" in str(done.exception)
