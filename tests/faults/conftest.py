"""What the scenarios share: one stack with faults per test process, undisturbed runs to compare with, and a table."""

import functools
import time

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from harness.stack import start_private_stack
from tests.support.fault_jobs import DATA, JOBS, N_WORKERS, RETRY_TIME_SCALE
from tests.support.running import run_job


@pytest.fixture(scope="session")
def fault_settings(settings):
    """The project's settings with quick retries."""
    gateway = msgspec.structs.replace(settings.gateway, retry_time_scale=RETRY_TIME_SCALE)
    return msgspec.structs.replace(settings, gateway=gateway)


@pytest.fixture(scope="session")
def faulty_stack(fault_settings):
    """A stack whose network and Lambda service do as a plan says; moto plays S3, as it is up sooner."""
    with start_private_stack(fault_settings, s3="moto", faults=True) as state:
        yield state


@pytest.fixture(scope="session")
def play(faulty_stack, fault_settings):
    """Runs a job on that stack; returns its summary."""

    def run_it(algorithm, pattern, faults=(), **event):
        job = {"n_workers": N_WORKERS, **JOBS[algorithm], "sync_mode": pattern, **event}
        return run_job(faulty_stack, fault_settings, faults=faults, **{"data": DATA, **job})

    return run_it


@pytest.fixture(scope="session")
def undisturbed(play):
    """The same job without faults: its model's SHA-256 and its seconds, computed once."""
    # The first run of a stack starts its environments; what it takes is no measure.
    play("grad_avg", "reduce")

    @functools.cache
    def of(algorithm, pattern, **event):
        started = time.perf_counter()
        summary = play(algorithm, pattern, **event)
        return summary.model["sha256"], time.perf_counter() - started

    return of


@pytest.fixture
def entry(request):
    """Notes figures for the table at the end."""

    def note(**figures):
        request.node.user_properties.extend(figures.items())

    return note


def pytest_terminal_summary(terminalreporter):
    """Prints what came of every scenario."""
    reports = [
        (report, dict(report.user_properties))
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call" and "scenario" in dict(report.user_properties)
    ]
    if not reports:
        return
    table = Table("scenario", "algorithm", "pattern", "outcome", "seconds", "cost, s", box=None, pad_edge=False)
    for report, figures in sorted(reports, key=lambda pair: pair[0].nodeid):
        place = (figures["scenario"], figures.get("algorithm", "-"), figures.get("pattern", "-"))
        outcome = figures.get("outcome", "-") if report.passed else "FAILED"
        table.add_row(*place, outcome, f"{report.duration:.2f}", figures.get("cost", "-"))
    terminalreporter.write_line("")
    Console(width=160).print(table)
    terminalreporter.write_line(
        f"{sum(report.passed for report, _ in reports)} of {len(reports)} scenarios as promised"
    )
