"""Wrong usage names the flag, its value and what is allowed, in two lines."""

import click
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.cli.usage import describe_usage


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["run", "--n-workers", "x"], ["--n-workers: 'x' is not a valid integer.", "see `harness run --help`"]),
        (["run", "--cache-nodes", "x"], ["--cache-nodes is 'x'; allowed: a whole number, 1 to 40"]),
        (["data", "make", "--density", "x", "-o", "x"], ["--density is 'x'; allowed: a number, above 0, at most 0.5"]),
        (["run", "--revive", "maybe"], ["--revive is 'maybe'; allowed: on, off"]),
        (["run", "--revive", ""], ["--revive is ''; allowed: on, off"]),
        (["run", "--optim", "foo"], ["--optim is 'foo'; allowed: grad_avg, model_avg, admm, em"]),
        (["run", "--function-memory", "5"], ["--function-memory is 5; allowed: 128 to 10240"]),
        (["data", "make", "--rows", "-1", "-o", "x"], ["--rows is -1; allowed: at least 1"]),
        (["data", "make", "--density", "2", "-o", "x"], ["--density is 2.0; allowed: above 0, at most 0.5"]),
        (["data", "make"], ["missing option '--output' / '-o'.", "see `harness data make --help`"]),
        (["tune", "--at-once", "0"], ["--at-once is 0; allowed: at least 1"]),
        (["completion", "foo"], ["{bash|zsh|fish} is 'foo'; allowed: bash, zsh, fish"]),
        (["down", "foo"], ["got unexpected extra argument (foo)", "see `harness down --help`"]),
    ],
)
def test_wrong_usage_names_the_flag_and_the_value(arguments, lines):
    """Two lines: what is wrong, and where to read more."""
    with pytest.raises(click.ClickException) as refused:
        cli.main(arguments, standalone_mode=False, prog_name="harness")

    described = describe_usage(refused.value)
    assert lines == described[: len(lines)]
    assert len(described) == 2


def test_a_missing_data_set_is_named_by_its_flag(tmp_path):
    """The flag and its value are in the error."""
    data = str(tmp_path / "rows.csv")

    refused = CliRunner().invoke(cli, ["data", "partition", "--file-path", data, "--n-workers", "2",
                                       "--bucket-name", "b"])  # fmt: skip

    assert str(refused.exception).startswith(f"--file-path `{data}`: no such file")
