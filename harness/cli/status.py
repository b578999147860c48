"""`harness status`: show the stack that is up, and where it listens."""

import shlex
import sys

import click


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON.")
@click.option("--shell", "as_shell", is_flag=True, help="Print `export` lines that point boto3 and the AWS CLI here.")
@click.option("--docker", "as_docker", is_flag=True, help="Print flags for `docker run` that point a function here.")
@click.option(
    "--network", "as_network", is_flag=True, help="Print the name of the functions' network (container mode)."
)
@click.option("--metrics", "as_metrics", is_flag=True, help="Print the stack's figures in Prometheus's text format.")
def command(*, as_json: bool, as_shell: bool, as_docker: bool, as_network: bool, as_metrics: bool) -> None:
    """Show the stack that is up.

    The exit code is 1 if no stack is up, or if one of its processes has died.

    \b
    Example:
      eval "$(harness status --shell)"
      aws lambda list-functions
    """
    from rich.text import Text

    from harness.cli._stack_text import describe
    from harness.cli._warning import warn
    from harness.errors import HarnessError
    from harness.settings import load_settings_of_any_stack
    from harness.stack import client_environment, dead_parts, docker_flags, shared_stack, without_key
    from harness.stack.code import is_outdated
    from harness.system import records
    from harness.system.console import CAUTION, GOOD, result

    settings = load_settings_of_any_stack(warn)
    state = shared_stack(settings, of_any_code=not (as_shell or as_docker or as_network))
    if (as_shell or as_docker or as_network) and state is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first")
    if as_metrics:
        from harness.stack.metrics import stack_metrics

        click.echo(stack_metrics(state), nl=False)
        return
    if as_docker and state is not None:
        click.echo(shlex.join(docker_flags(state)))
        return
    if as_network and state is not None:
        click.echo(state.network)
        return
    if as_shell and state is not None:
        variables = client_environment(state).items()
        click.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables))
        return
    dead = dead_parts(state) if state else []
    outdated = state is not None and is_outdated(state)
    if as_json:
        shown = without_key(state) if state else None
        report = {"up": state is not None, "dead": dead, "outdated": outdated, "stack": shown}
        click.echo(records.encode(report).decode())
    elif state is None:
        click.echo("no stack is up")
    else:
        note = ", but another version of the harness started it: run `harness down`, then `harness up`"
        title = Text(f"the stack is up{note if outdated else ''}", style=CAUTION if outdated or dead else GOOD)
        result(title)
        for line in describe(state, dead):
            result(line)
    if dead or outdated or state is None:
        sys.exit(1)
