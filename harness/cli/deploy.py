"""`harness deploy`: deploy the infrastructure, the images and the functions, to AWS or in a rehearsal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.model_options import models_option, settings_with_models
from harness.cli.target_options import (
    account_option,
    check_somebody_answers,
    interruptions,
    region_option,
    rehearse_option,
    stack_option,
    target_of,
)

if TYPE_CHECKING:
    from harness.cli._waiting import ShownWait
    from harness.deploy.access import Verdict
    from harness.deploy.apply import DeployOutcome
    from harness.deploy.finding import Finding
    from harness.deploy.plan import DeploymentPlan
    from harness.deploy.target import Target
    from harness.presets.emulated_network import EmulatedNetwork
    from harness.settings import Settings


@click.command("deploy")
@stack_option
@region_option
@account_option
@rehearse_option
@click.option(
    "--n-workers",
    type=click.IntRange(min=0, max=1000),
    help="Reserve concurrency for runs of up to this many workers, for each worker function; 0 reserves none.  "
    "[default: keep the current reservation; 10 on the first deployment]",
)
@click.option(
    "--model-bytes",
    type=click.IntRange(min=0),
    default=0,
    help="Check that the cache is large enough to exchange a model of this size, in bytes.",
)
@click.option(
    "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="Set a parameter of the template; repeatable."
)
@click.option(
    "--zones",
    type=click.Choice(["one", "all"]),
    help="Place the functions in the cache's zone (one), or in both zones (all): from the other zone, a round trip "
    "takes 1.66 ms in place of 0.66, every synchronous round waits for it, and traffic between zones is billed.  "
    "[default: as deployed; one on the first deployment]",
)
@click.option(
    "--network",
    metavar="aws|PRESET",
    help="With --rehearse: emulate AWS's network and cold starts, as `harness run --network` does.",
)
@models_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--check", "check_only", is_flag=True, help="Check the template and the functions without AWS.")
@click.option(
    "--compare",
    "compare_only",
    is_flag=True,
    help="Show how the deployed functions differ from those of a run on this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@quiet_option
def command(  # noqa: PLR0913 - keywords only, each an option
    *,
    stack: str,
    region: str | None,
    expect_account: str | None,
    rehearse: bool,
    n_workers: int | None,
    model_bytes: int,
    parameters: tuple[str, ...],
    zones: str | None,
    network: str | None,
    models: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    check_only: bool,
    compare_only: bool,
    as_json: bool,
) -> None:
    """Deploy to AWS, or in a rehearsal: check, show the changes and their cost, ask, and apply them.

    Deploying again is a no-op; an interrupted deployment resumes when the command is run again.

    \b
    Example:
      harness deploy --rehearse --yes
      AWS_PROFILE=training harness deploy --region eu-central-1 --expect-account 123456789012
      harness run --target aws --n-workers 4
      harness deploy --rehearse --model my_model.py:Net --yes
    """
    import msgspec

    from harness.deploy.apply import DEFAULT_WORKERS, DeployRequest, deploy
    from harness.deploy.preflight import offline

    settings, given = settings_with_models(models), _given(parameters, zones)
    emulated = _network(network, given, rehearse=rehearse)
    if check_only:
        n_checked = DEFAULT_WORKERS if n_workers is None else n_workers
        with waiting("checking the template and the functions"):
            wanted = offline(settings, given, n_checked, region, model_bytes)
        _tell_checks(*wanted, as_json=as_json)
        return
    if compare_only:
        _tell_differences(settings, stack, region, rehearse=rehearse, as_json=as_json)
        return
    request = DeployRequest(stack, given, n_workers, model_bytes, expect_account, dry_run)

    def agree(plan: "DeploymentPlan") -> bool:
        with log.paused():
            _show(plan)
            return yes or click.confirm("Deploy this?", err=True)

    if not (yes or dry_run):
        check_somebody_answers()
    with (
        waiting(f"deploying {stack}") as log,
        _target(settings, region, given, log, emulated, rehearse=rehearse, dry_run=dry_run) as target,
        interruptions("deploy"),
    ):
        outcome = deploy(target, settings, request, log=log, agree=agree)
    if as_json:
        click.echo(msgspec.json.encode(outcome).decode())
    else:
        if outcome.status == "planned":
            _show(outcome.plan)
        click.echo("\n".join(_told(outcome, region)))


def _network(name: str | None, given: dict[str, str], *, rehearse: bool) -> "EmulatedNetwork | None":
    from harness.cli.network_options import emulated_network
    from harness.errors import HarnessError

    if name is None:
        return None
    if not rehearse:
        raise HarnessError(
            "AWS's network is not emulated on AWS", f"--network {name}", "add --rehearse, or leave it out"
        )
    if given.get("PrimaryZone", "1") != "1":
        raise HarnessError(
            "the emulated cache is in the first zone",
            f"--network {name} with --parameter PrimaryZone={given['PrimaryZone']}",
            "leave one of them out: without --network, both zones are rehearsed",
        )
    zones = 2 if given.get("FunctionZones") == "all" else 1
    return emulated_network({"network": name, "figures": (), "network_seed": None}, zones)


def _given(parameters: tuple[str, ...], zones: str | None) -> dict[str, str]:
    from harness.errors import HarnessError

    given = _pairs(parameters)
    if zones is None:
        return given
    if given.get("FunctionZones", zones) != zones:
        raise HarnessError(
            f"--zones {zones} contradicts --parameter FunctionZones={given['FunctionZones']}",
            remedy="give one of them: they set the same parameter",
        )
    return {**given, "FunctionZones": zones}


def _pairs(parameters: tuple[str, ...]) -> dict[str, str]:
    from harness.errors import HarnessError

    pairs = {}
    for text in parameters:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise HarnessError(f"--parameter {text!r} is not KEY=VALUE", remedy="for example CacheNodes=2")
        pairs[key] = value
    return pairs


@contextmanager
def _target(
    settings: "Settings",
    region: str | None,
    given: dict[str, str],
    log: "ShownWait",
    network: "EmulatedNetwork | None",
    *,
    rehearse: bool,
    dry_run: bool,
) -> "Iterator[Target]":
    from harness.deploy.preflight import check_on_this_machine
    from harness.deploy.rehearsal import rehearsal_for_deploy
    from harness.deploy.target import aws_target

    if rehearse:
        check_on_this_machine(settings, given)
        # The parameters have been checked.
        nodes = int(given["CacheNodes"]) if "CacheNodes" in given else None
        with rehearsal_for_deploy(settings, dry_run=dry_run, log=log, network=network, cache_nodes=nodes) as target:
            yield target
    else:
        yield aws_target(region)


def _tell_differences(settings: "Settings", stack: str, region: str | None, *, rehearse: bool, as_json: bool) -> None:
    import msgspec

    from harness.deploy.comparison import compare, format_differences

    with waiting("comparing the deployed functions") as log:
        found = compare(target_of("rehearsal" if rehearse else "aws", region, settings), settings, stack, log)
    click.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(format_differences(found)))
    if any(not each.why for each in found):
        sys.exit(1)


def _tell_checks(findings: "list[Finding]", verdicts: "list[Verdict]", *, as_json: bool) -> None:
    import msgspec

    from harness.deploy.access import text_of

    wrong = [finding for finding in findings if finding.level == "error"]
    if as_json:
        click.echo(msgspec.json.encode({"findings": findings, "access": verdicts}).decode())
    else:
        click.echo(text_of(verdicts))
        for finding in findings:
            click.echo(f"{finding.level}: {finding.where}: {finding.what} ({finding.rule})\n  {finding.remedy}")
        click.echo(f"template and functions: {len(wrong)} errors, {len(findings) - len(wrong)} warnings")
    if wrong or any(not verdict.as_expected for verdict in verdicts):
        sys.exit(1)


def _show(plan: "DeploymentPlan") -> None:
    from harness.deploy.plan import format_plan

    # Also with --quiet: it is what the user is asked about.
    click.echo("\n".join(format_plan(plan)), err=True)


def _told(outcome: "DeployOutcome", region: str | None) -> Iterator[str]:
    plan = outcome.plan
    if outcome.status == "declined":
        yield "nothing was changed"
        return
    if outcome.status == "planned":
        yield "nothing was changed: --dry-run" if not plan.changes_nothing else "nothing to change"
        return
    yield (
        f"{plan.stack} is deployed: nothing had to change"
        if outcome.status == "unchanged"
        else f"{plan.stack} is deployed"
    )
    stack = f" --stack {plan.stack}" if plan.stack != "lambda-harness" else ""
    flags = stack + (f" --region {region}" if region else "")
    rehearsed = plan.target == "rehearsal"
    yield "next:"
    yield f"  harness run --target {plan.target}{flags} --n-workers 4"
    yield f"  harness destroy{' --rehearse' if rehearsed else ''}{flags} --empty"
