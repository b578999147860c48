"""Options that say where a deployment is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from harness.deploy.target import Target
    from harness.settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class StackName(click.ParamType[str]):
    """A stack's name, which begins the names of its bucket and repositories: what all of them take."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Checks it.

        Raises:
            click.BadParameter: It is none.
        """
        import re

        text = str(value)
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,28}[a-z0-9]", text):
            self.fail(f"{text!r}: 2 to 30 lower-case letters, digits or hyphens, the first a letter", param, ctx)
        return text


def stack_option(function: Decorated) -> Decorated:
    """`--stack`."""
    return click.option(
        "--stack", type=StackName(), default="lambda-harness", show_default=True, help="The stack's name."
    )(function)


def region_option(function: Decorated) -> Decorated:
    """`--region`."""
    return click.option("--region", help="AWS's region.  [default: the profile's, or AWS_REGION]")(function)


class AccountNumber(click.ParamType[str]):
    """The number of an AWS account."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Checks it.

        Raises:
            click.BadParameter: It is none.
        """
        text = str(value).replace("-", "")  # the console shows it in groups
        if not (len(text) == 12 and text.isascii() and text.isdigit()):
            self.fail(f"{value!r}: an account's number has 12 digits", param, ctx)
        return text


def account_option(function: Decorated) -> Decorated:
    """`--expect-account`."""
    return click.option("--expect-account", type=AccountNumber(), metavar="ID", help="Refuse any other account.")(
        function
    )


def rehearse_option(function: Decorated) -> Decorated:
    """`--rehearse`."""
    return click.option("--rehearse", is_flag=True, help="On this machine, against emulated AWS.")(function)


def target_option(function: Decorated) -> Decorated:
    """`--target`."""
    return click.option(
        "--target", type=click.Choice(["aws", "rehearsal"]), help="What `harness deploy` made, there or in a rehearsal."
    )(function)


def target_of(
    kind: Literal["aws", "rehearsal"], region: str | None, settings: "Settings", expect_account: str | None = None
) -> "Target":
    """Return where a deployment is.

    Args:
        kind: What `--target` says.
        region: AWS's region; None for the profile's.
        settings: The project's.
        expect_account: The account that it must be in, before anything is asked of it or done there.

    Raises:
        HarnessError: No rehearsal is up, no region is named, or the credentials are of another account.
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
    """Return where the runs of a deployment, or of the stack that is up, are: a client and the buckets.

    A deployment has one bucket, the only one that its functions may use; a stack of this machine any number.

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
        deployed = deployed_run_target(target, stack, lambda line: click.echo(line, err=True))
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
    """Refuse an account for a stack on this machine, which has none: the user believes to be on AWS.

    Raises:
        HarnessError: There is one.
    """
    from harness.errors import HarnessError

    if expect_account is not None:
        raise HarnessError(
            "without --target this goes to the stack on this machine, which is in no account",
            f"--expect-account {expect_account}",
            "add --target aws, or leave --expect-account out",
        )


def check_somebody_answers() -> None:
    """Whether there is a terminal to ask a question at.

    Raises:
        HarnessError: There is none.
    """
    from harness.errors import HarnessError

    if not sys.stdin.isatty():
        raise HarnessError("nobody is there to be asked", "standard input is no terminal", "say --yes")


@contextmanager
def interruptions(verb: str) -> Iterator[None]:
    """Say what an interruption of the block means (Ctrl-C, a closed terminal, a CI job that is cancelled): AWS goes on.

    Args:
        verb: The command that goes on when it is run again.

    Raises:
        HarnessError: Somebody has pressed it.
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
