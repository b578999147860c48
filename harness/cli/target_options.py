"""Options that locate a deployment."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

import click

from harness.cli._waiting import waiting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from harness.deploy.target import Target
    from harness.settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class StackName(click.ParamType[str]):
    """A stack's name: a prefix that is valid in the names of its bucket and of its repositories."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Check the name.

        Raises:
            click.BadParameter: It is not valid.
        """
        import re

        text = str(value)
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,28}[a-z0-9]", text):
            self.fail(f"{text!r}: 2 to 30 lower-case letters, digits or hyphens, the first a letter", param, ctx)
        return text


def stack_option(function: Decorated) -> Decorated:
    """Add `--stack`."""
    return click.option(
        "--stack",
        type=StackName(),
        default="lambda-harness",
        show_default=True,
        help="Use the CloudFormation stack of this name.",
    )(function)


def region_option(function: Decorated) -> Decorated:
    """Add `--region`."""
    return click.option("--region", help="Use this AWS region.  [default: from the profile or AWS_REGION]")(function)


class AccountNumber(click.ParamType[str]):
    """The number of an AWS account."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Check the number.

        Raises:
            click.BadParameter: It is not valid.
        """
        text = str(value).replace("-", "")  # the console shows it in groups
        if not (len(text) == 12 and text.isascii() and text.isdigit()):
            self.fail(f"{value!r}: an account's number has 12 digits", param, ctx)
        return text


def account_option(function: Decorated) -> Decorated:
    """Add `--expect-account`."""
    return click.option(
        "--expect-account", type=AccountNumber(), metavar="ID", help="Refuse any account but this one."
    )(function)


def rehearse_option(function: Decorated) -> Decorated:
    """Add `--rehearse`."""
    return click.option("--rehearse", is_flag=True, help="Work on this machine, against emulated AWS.")(function)


def target_option(function: Decorated) -> Decorated:
    """Add `--target`."""
    return click.option(
        "--target",
        type=click.Choice(["aws", "rehearsal"]),
        help="Use what `harness deploy` created on AWS, or in a rehearsal.",
    )(function)


class Where(NamedTuple):
    """Where a command looks for runs, models and logs: the options of `place_options`.

    Attributes:
        target: A deployment on AWS, or a rehearsal; None for the stack that is up.
        stack: The name of the deployment.
        region: Its region; None for the profile's.
        expect_account: The account that it must be in; None for any.
    """

    target: Literal["aws", "rehearsal"] | None
    stack: str
    region: str | None
    expect_account: str | None


def place_options(function: Decorated) -> Decorated:
    """Add `--target`, `--stack`, `--region` and `--expect-account`; the command takes them together, as `where`."""

    @functools.wraps(function)
    def with_where(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - any command
        where = Where(*(options.pop(name) for name in Where._fields))
        return function(*arguments, where=where, **options)

    decorated: Any = with_where
    for option in (account_option, region_option, stack_option, target_option):
        decorated = option(decorated)
    return cast("Decorated", decorated)


def target_of(
    kind: Literal["aws", "rehearsal"], region: str | None, settings: "Settings", expect_account: str | None = None
) -> "Target":
    """Return the account and region, or the rehearsal, of a deployment.

    Args:
        kind: The value of `--target`.
        region: The AWS region; None for the profile's.
        settings: The project's settings.
        expect_account: The account that the credentials must belong to, checked before any other call.

    Raises:
        HarnessError: No rehearsal is up, no region is set, or the credentials belong to another account.
    """
    from harness.deploy.preflight import require_account
    from harness.deploy.rehearsal import standing_rehearsal
    from harness.deploy.target import aws_target
    from harness.errors import HarnessError

    target = aws_target(region) if kind == "aws" else standing_rehearsal(settings)
    if target is None:
        raise HarnessError("no rehearsal is up", remedy="run `harness deploy --rehearse` first")
    if expect_account is not None:
        require_account(target, expect_account)
    return target


def results_of(
    kind: Literal["aws", "rehearsal"] | None,
    stack: str,
    region: str | None,
    settings: "Settings",
    expect_account: str | None = None,
) -> "tuple[S3Client, list[str]]":
    """Return an S3 client and the buckets with the results of a deployment, or of the stack that is up.

    A deployment has one bucket, the only one that its functions may use; a local stack may have many.

    Raises:
        HarnessError: Nothing is up, or nothing is deployed.
    """
    from harness.aws.clients import clients_for
    from harness.aws.errors import aws_errors
    from harness.deploy.run_target import deployed_run_target
    from harness.errors import HarnessError
    from harness.runs.catalogue import result_buckets
    from harness.runs.health import check_parts
    from harness.runs.prepared import RESULT_BUCKET
    from harness.stack import shared_stack

    if kind is not None:
        target = target_of(kind, region, settings, expect_account)
        with waiting("looking at the deployment") as log:
            deployed = deployed_run_target(target, stack, log)
        return deployed.clients.s3, [deployed.bucket]
    refuse_account_without_target(expect_account)
    state = shared_stack(settings)
    if state is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first; a run of its own keeps no results")
    check_parts(state)
    s3 = clients_for(state.endpoints).s3
    with aws_errors("listing the stack's buckets"):
        return s3, result_buckets(s3, RESULT_BUCKET)


def refuse_account_without_target(expect_account: str | None) -> None:
    """Refuse `--expect-account` without `--target`: the user believes to work on AWS.

    Raises:
        HarnessError: An account is given.
    """
    from harness.errors import HarnessError

    if expect_account is not None:
        raise HarnessError(
            "without --target this goes to the stack on this machine, which is in no account",
            f"--expect-account {expect_account}",
            "add --target aws, or leave --expect-account out",
        )


def check_somebody_answers() -> None:
    """Check that standard input is a terminal, so that a question can be asked.

    Raises:
        HarnessError: It is not.
    """
    from harness.errors import HarnessError

    if not sys.stdin.isatty():
        raise HarnessError("nobody is there to be asked", "standard input is no terminal", "say --yes")


@contextmanager
def interruptions(verb: str) -> Iterator[None]:
    """Explain an interruption of the block (Ctrl-C, a closed terminal, a cancelled CI job): AWS continues its work.

    Args:
        verb: The command that resumes the work when it is run again.

    Raises:
        HarnessError: The block was interrupted.
    """
    import signal

    from harness.cli.interruption import interrupt
    from harness.errors import HarnessError

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        raise HarnessError(
            f"harness {verb} was interrupted",
            "what CloudFormation was told to do goes on, and what stands costs",
            f"run `harness {verb}` again, with the same flags: it goes on where it was",
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
