"""`harness completion`: print the script that completes commands in a shell."""

import click

# click's name for it: `harness` in capitals. The script sets it when it asks the command for completions.
VARIABLE = "_HARNESS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete verbs, options, functions and files of this command.

    \b
    Example:
      eval "$(harness completion bash)"
      harness completion fish > ~/.config/fish/completions/harness.fish
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101 - click knows each of the three
    click.echo(complete(context.find_root().command, {}, "harness", VARIABLE).source())
