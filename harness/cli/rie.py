"""`harness rie`: serve one function behind the Runtime Interface Emulator, in the foreground."""

import sys

import click

from harness.cli._waiting import waiting
from harness.cli.function_argument import function_argument
from harness.cli.model_options import settings_with_models


@click.command()
@function_argument
@click.option(
    "--port",
    default=9000,
    show_default=True,
    type=click.IntRange(1, 65_535),
    help="Listen on this port for invocations.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 900),
    metavar="SECONDS",
    help="Limit an invocation to this time, pauses in a debugger included.  [default: the function's]",
)
@click.option("--pdb", is_flag=True, help="Open a post-mortem here when the function raises; without a time limit.")
def command(*, function: str, port: int, timeout_s: int | None, pdb: bool) -> None:
    """Serve FUNCTION from its source folder, until interrupted.

    FUNCTION is declared in harness.toml. It uses the stack that is up, prints to this terminal, and
    `breakpoint()` opens a debugger here.
    The function's time limit applies to each invocation; allow more time for debugging with --timeout.

    \b
    Example:
      harness rie linear_ec_2 --port 9000
      curl http://127.0.0.1:9000/2015-03-31/functions/function/invocations -d @fixtures/events/test_input_1_worker.json
    """
    import msgspec

    from harness.cli.debugger import require_terminal
    from harness.errors import HarnessError
    from harness.gateway.debug_records import LIFTED_S
    from harness.runs.declared import declared
    from harness.runs.foreground import RIE_PATH, serve
    from harness.runs.layers import ensure_layers
    from harness.runtimes.environments import ensure_environment, python_in
    from harness.runtimes.libraries import ensure_libraries
    from harness.stack import rie_path, shared_stack

    if pdb:
        require_terminal()
    settings = settings_with_models()
    served = declared(settings, function)
    if pdb and timeout_s is None:
        served = msgspec.structs.replace(served, timeout_s=LIFTED_S)
    if timeout_s is not None:
        served = msgspec.structs.replace(served, timeout_s=timeout_s)
    stack = shared_stack(settings)
    if stack is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first")

    def listening() -> None:
        click.echo(f"{function} listens at http://127.0.0.1:{port}{RIE_PATH}", err=True)
        click.echo(f"an invocation has {served.timeout_s} s; Ctrl-C ends the function", err=True)

    with waiting(f"making {function} ready") as log:
        python = python_in(ensure_environment(settings.cache_dir, served.python, log=log))
        libraries = ensure_libraries(served, settings.cache_dir, log=log)
        libraries += [layer / "python" for layer in reversed(ensure_layers(served, settings.cache_dir, log=log))]
    status = serve(
        function,
        served,
        rie=rie_path(settings),
        python=python,
        libraries=libraries,
        stack=stack,
        port=port,
        listening=listening,
        pdb=pdb,
    )
    sys.exit(status)
