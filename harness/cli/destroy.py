"""`harness destroy`: remove everything that `harness deploy` created."""

import sys
from typing import TYPE_CHECKING

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.target_options import (
    account_option,
    check_somebody_answers,
    interruptions,
    region_option,
    rehearse_option,
    stack_option,
)

if TYPE_CHECKING:
    from harness.deploy.destroy import DestroyOutcome, StackRemoval
    from harness.deploy.inventory import Standing


@click.command("destroy")
@stack_option
@region_option
@account_option
@rehearse_option
@click.option("--empty", is_flag=True, help="Also delete the bucket's objects and the images: data, results, models.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="List the resources and their cost, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@quiet_option
def command(
    *,
    stack: str,
    region: str | None,
    expect_account: str | None,
    rehearse: bool,
    empty: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove a deployment (functions, network, cache, roles), and list the tagged resources that are left.

    A bucket and repositories that are not empty are kept, unless --empty is given.
    The exit code is 1 if any resource is left.

    \b
    Example:
      harness destroy --dry-run
      harness destroy --rehearse --yes --empty
    """
    import msgspec

    from harness.deploy.destroy import DestroyRequest, destroy
    from harness.deploy.rehearsal import standing_rehearsal, stop_rehearsal
    from harness.deploy.target import aws_target
    from harness.settings import load_settings

    settings = load_settings()
    target = standing_rehearsal(settings) if rehearse else aws_target(region)
    if target is None:
        click.echo("null" if as_json else "nothing stands: no rehearsal is up")
        return

    def agree(removal: "StackRemoval") -> bool:
        with log.paused():
            _show(removal, empty=empty)
            return yes or _confirm()

    request = DestroyRequest(stack, empty, expect_account, dry_run)
    with waiting(f"removing {stack}") as log:
        with interruptions("destroy"):
            outcome = destroy(target, settings, request, log=log, agree=agree)
        if outcome.status in {"removed", "nothing"}:
            stop_rehearsal(settings, target, log)
    if as_json:
        click.echo(msgspec.json.encode(outcome).decode())
    else:
        click.echo("\n".join(_told(outcome)))
    if outcome.status == "partly":
        sys.exit(1)


def _show(removal: "StackRemoval", *, empty: bool) -> None:
    _say(f"stack {removal.stack} in {removal.region}, account {removal.account}: {len(removal.standing)} resources")
    for line in _lines(removal.standing):
        _say(line)
    for entry in removal.contents:
        _say(f"  {'to be emptied' if empty else 'kept, as it is not empty'}: {entry}")


def _lines(standing: "list[Standing]") -> list[str]:
    return [f"  {_price(entry):>14}  {entry.arn}" for entry in standing]


def _price(entry: "Standing") -> str:
    if entry.usd_per_day is None:
        return "? USD/day"
    # A few objects of a bucket cost less than is shown.
    return f"{entry.usd_per_day:.3f} USD/day" if entry.usd_per_day else "free"


def _confirm() -> bool:
    check_somebody_answers()
    return click.confirm("Remove this?", err=True)


def _told(outcome: "DestroyOutcome") -> list[str]:
    name = outcome.removal.stack
    if outcome.status == "declined":
        return ["nothing was changed"]
    if outcome.status == "nothing":
        return [f"nothing stands of {name}"]
    per_day = sum(entry.usd_per_day or 0.0 for entry in outcome.left)
    left = [f"{len(outcome.left)} resources stand, {per_day:.2f} USD per day", *_lines(outcome.left)]
    if outcome.status == "planned":
        return left
    if outcome.status == "removed":
        return [f"{name} is removed; nothing is left"]
    return [f"{name} is removed in part; what is left:", *left, "`harness destroy --empty` removes that, too"]


def _say(line: str) -> None:
    click.echo(line, err=True)
