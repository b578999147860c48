"""`harness logs`: a function's log, as `aws logs tail` would show it."""

import click


@click.command()
@click.argument("function")
@click.option("--since", default=60, show_default=True, type=click.IntRange(min=0), help="Minutes to look back.")
@click.option("--follow", is_flag=True, help="Wait for new lines until interrupted.")
def command(*, function: str, since: int, follow: bool) -> None:
    """Prints the log of FUNCTION on the stack that is up.

    \b
    Example:
      harness logs linear_ec_2 --follow
    """
    import time
    from datetime import UTC, datetime

    from harness.errors import HarnessError
    from harness.runs.clients import clients_for
    from harness.runs.follow import HERE, LogTail
    from harness.settings import load_settings
    from harness.stack import shared_stack

    stack = shared_stack(load_settings())
    if stack is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first; a run of its own keeps no logs")
    tail = LogTail(clients_for(stack.endpoints).logs, f"/aws/lambda/{function}", int(1000 * (time.time() - 60 * since)))
    while True:
        for timestamp, message in tail.lines():
            click.echo(f"{datetime.fromtimestamp(timestamp / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {message}")
        if not follow:
            return
        time.sleep(HERE.longest_poll_s)
