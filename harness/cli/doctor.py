"""`harness doctor`: check this machine."""

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from harness.cli._waiting import waiting

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
    from rich.text import Text

    from harness.settings import load_settings, load_settings_of_any_stack
    from harness.stack.doctor import examine, fix
    from harness.system.console import BAD, CAUTION, GOOD, result

    if mend:
        # Only a valid file tells what has to be installed.
        with waiting("installing what is missing") as log:
            fix(load_settings(), log)
    problems: list[HarnessError] = []
    settings = load_settings_of_any_stack(problems.append)
    checks = examine(settings, problems)
    if as_json:
        click.echo(msgspec.json.encode(checks).decode())
    else:
        for check in checks:
            mark, style = ("ok", GOOD) if check.ok else ("MISSING", BAD) if check.required else ("note", CAUTION)
            result(Text.assemble((f"{mark:<8}", style), f" {check.name:<11} {check.found}"))
            if check.remedy:
                result(f"{'':<8} {'':<11} -> {check.remedy}")
    if any(check.required and not check.ok for check in checks):
        sys.exit(1)
