"""`harness doctor`: check this machine."""

import sys
from functools import partial
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from harness.errors import HarnessError


@click.command("doctor")
@click.option("--fix", "mend", is_flag=True, help="Install what is missing: memcached, RIE, LocalStack, the runtimes.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def command(*, mend: bool, as_json: bool) -> None:
    """Check this machine, and explain how to install what is missing.

    The exit code is 0 if everything required is present.

    \b
    Example:
      harness doctor --fix
    """
    from harness.settings import load_settings, load_settings_of_any_stack
    from harness.stack.doctor import examine, fix

    if mend:
        # Only a valid file tells what has to be installed.
        fix(load_settings(), partial(click.echo, err=True))
    problems: list[HarnessError] = []
    settings = load_settings_of_any_stack(problems.append)
    checks = examine(settings, problems)
    if as_json:
        click.echo(msgspec.json.encode(checks).decode())
    else:
        for check in checks:
            mark = "ok" if check.ok else ("MISSING" if check.required else "note")
            click.echo(f"{mark:<8} {check.name:<11} {check.found}")
            if check.remedy:
                click.echo(f"{'':<8} {'':<11} -> {check.remedy}")
    if any(check.required and not check.ok for check in checks):
        sys.exit(1)
