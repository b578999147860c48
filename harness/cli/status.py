"""`harness status`: what is up, and where it listens."""

import shlex
import sys

import click


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON.")
@click.option("--shell", "as_shell", is_flag=True, help="Print `export` lines that point boto3 and the AWS CLI here.")
def command(*, as_json: bool, as_shell: bool) -> None:
    """Show the stack that is up; exit code 1 when one of its processes has died.

    \b
    Example:
      eval "$(harness status --shell)"
      aws lambda list-functions
    """
    from harness.cli._stack_text import describe
    from harness.errors import HarnessError
    from harness.settings import load_settings
    from harness.stack import client_environment, dead_processes, records, shared_stack

    state = shared_stack(load_settings())
    if as_shell:
        if state is None:
            raise HarnessError("no stack is up", remedy="run `harness up` first")
        variables = client_environment(state).items()
        click.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables))
        return
    dead = dead_processes(state) if state else []
    if as_json:
        click.echo(records.encode({"up": state is not None, "dead": dead, "stack": state}).decode())
    elif state is None:
        click.echo("no stack is up")
    else:
        click.echo("\n".join(["the stack is up", *describe(state, dead)]))
    if dead:
        sys.exit(1)
