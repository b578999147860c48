"""A run as `harness run` does it, on a stack that is up already."""

from harness.aws.clients import clients_for
from harness.faults import read_plan
from harness.runs.launch import read_request, run
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
    request = read_request(data, None, event)
    plan = read_plan(None, tuple(faults), chaos)
    target = stack_target(stack, clients_for(stack.endpoints))
    return run(request, settings, target, report=lambda _: None, watch=watch, faults=plan)
