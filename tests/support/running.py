"""A run as `harness run` does it, on a stack that is up already."""

from harness.runs.clients import clients_for
from harness.runs.launch import read_request, run


def run_job(stack, settings, *, data="synthetic:rows=2000,features=5", watch=lambda _: None, **event):
    """Runs a job and returns its summary."""
    request = read_request(data, None, event)
    quiet = {"report": lambda _: None, "watch": watch}
    return run(request, settings, stack, clients_for(stack.endpoints), **quiet)
