"""A run as `harness run` does it, on a stack that is up already."""

from harness.aws.clients import clients_for
from harness.datasets.tables.spec import DEFAULT_OPTIONS
from harness.faults import read_plan
from harness.runs.launch import run
from harness.runs.prepared import prepare_run, with_test_set
from harness.runs.run_target import stack_target


def run_job(
    stack,
    settings,
    *,
    data="synthetic:rows=2000,features=5",
    test=None,
    faults=(),
    chaos=None,
    watch=lambda _: None,
    options=DEFAULT_OPTIONS,
    **event,
):
    """Runs a job, with faults given as on the command line, and returns its summary."""
    plan = read_plan(None, tuple(faults), chaos)
    prepared = with_test_set(prepare_run(data, None, event, plan, options=options), test, options)
    target = stack_target(stack, clients_for(stack.endpoints))
    return run(prepared, settings, target, report=lambda _: None, watch=watch)
