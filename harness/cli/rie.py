"""`harness rie`: one function behind one RIE in the foreground."""

import sys

import click


@click.command()
@click.argument("function")
@click.option("--port", default=9000, show_default=True, type=click.IntRange(1, 65_535), help="Port for invocations.")
def command(*, function: str, port: int) -> None:
    """Serves FUNCTION, one of harness.toml's, straight from its folder until interrupted.

    Its output comes to this terminal, and it sees the stack that is up.

    \b
    Example:
      harness rie linear_ec_2 --port 9000
      curl http://127.0.0.1:9000/2015-03-31/functions/function/invocations -d @fixtures/events/test_input_1_worker.json
    """
    from harness.errors import HarnessError
    from harness.runs.foreground import RIE_PATH, serve
    from harness.runs.functions import declared
    from harness.settings import load_settings
    from harness.stack import rie_path, shared_stack

    settings = load_settings()
    settings_of_function = declared(settings, function)
    stack = shared_stack(settings)
    if stack is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first")
    click.echo(f"{function} listens at http://127.0.0.1:{port}{RIE_PATH}", err=True)
    sys.exit(serve(function, settings_of_function, rie=rie_path(settings), stack=stack, port=port))
