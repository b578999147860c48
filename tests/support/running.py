"""A run as `harness run` does it, on a stack that is up already."""

from harness.aws.clients import clients_for
from harness.faults import read_plan
from harness.runs.launch import run
from harness.runs.prepared import prepare_run
from harness.runs.run_target import stack_target


def run_job(
    stack,
    settings,
    *,
    data="synthetic:rows=2000,features=5",
    faults=(),
    chaos=None,
    watch=lambda _: None,
    **event,
):
    """Runs a job, with faults given as on the command line, and returns its summary."""
    prepared = prepare_run(data, None, event, read_plan(None, tuple(faults), chaos))
    target = stack_target(stack, clients_for(stack.endpoints))
    return run(prepared, settings, target, report=lambda _: None, watch=watch)
