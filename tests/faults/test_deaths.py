"""Parts of a stack that die while a run is on, killed from outside rather than by a plan of faults."""

import os
import signal
import time

import psutil
import pytest

from harness.errors import HarnessError
from harness.stack import start_private_stack
from harness.stack.state import current_state
from harness.system.probes import wait_until
from tests.support.fault_jobs import N_WORKERS
from tests.support.running import run_job

# Seconds of rounds: a run is looked at every 0.2 s at most, and a part is to die in the midst of them.
JOB = {"data": "synthetic:rows=600,features=5", "n_workers": N_WORKERS, "batch_size": 10, "n_epochs": 200}


@pytest.fixture(scope="module")
def plain_stack(fault_settings):
    """A stack without the fault proxy: its memcached is the supervisor's own child."""
    with start_private_stack(fault_settings, s3="moto") as state:
        yield state


class Once:
    """Kills a part as soon as a rank trains, once."""

    def __init__(self, kill):
        self._kill, self.done = kill, False

    def __call__(self, progress):
        """Watches a run."""
        if not self.done and any(rank.state == "training" for rank in progress.ranks):
            self.done = True
            self._kill()


def memcached_below(pid):
    """The memcached among a process's descendants."""
    [found] = [child for child in psutil.Process(pid).children(recursive=True) if child.name() == "memcached"]
    return found


@pytest.mark.timeout(60)
def test_a_memcached_that_dies_is_started_again_and_the_run_has_the_same_bits(plain_stack, fault_settings, entry):
    """As ElastiCache replaces a node: empty, at the same address, and named in the run's events."""
    entry(scenario="memcached killed from outside", algorithm="grad_avg", pattern="auto")
    undisturbed = run_job(plain_stack, fault_settings, **JOB)
    kill = Once(lambda: os.kill(current_state(plain_stack).processes["memcached"], signal.SIGKILL))

    summary = run_job(plain_stack, fault_settings, **JOB, watch=kill)

    assert kill.done
    assert undisturbed.model["sha256"] == summary.model["sha256"]
    [restart] = [event for event in summary.events if event["event"] == "restarted"]
    assert restart["note"] == "memcached was killed by SIGKILL"
    assert current_state(plain_stack).processes["memcached"] != plain_stack.processes["memcached"]
    assert "starting it again" in (plain_stack.directory / "supervisor.log").read_text()


@pytest.mark.timeout(60)
def test_a_memcached_behind_the_fault_proxy_is_started_again(faulty_stack, fault_settings, entry):
    """It is the proxy's child there."""
    entry(scenario="memcached behind the proxy killed", algorithm="grad_avg", pattern="auto")
    job = JOB | {"n_epochs": 20}
    undisturbed = run_job(faulty_stack, fault_settings, **job)
    kill = Once(memcached_below(faulty_stack.pid).kill)

    # However fast the machine, 360 rounds with two commands each take a second and a half.
    summary = run_job(faulty_stack, fault_settings, **job, faults=["delay ms=2"], watch=kill)

    assert kill.done
    assert undisturbed.model["sha256"] == summary.model["sha256"]
    assert ["memcached"] == [event["part"] for event in summary.events if event["event"] == "restarted"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    # The gateway's death by a plan of faults is among the daily tests: test_ends.
    "part",
    ["moto", pytest.param("gateway", marks=pytest.mark.slow), "supervisor"],
)
def test_the_death_of_a_part_ends_the_run_and_is_named(part, fault_settings, entry):
    """Within a few seconds, with its name, what ended it, and where the logs are; AWS's region is not mentioned."""
    entry(scenario=f"{part} killed from outside", algorithm="grad_avg", pattern="auto")
    with start_private_stack(fault_settings, s3="moto") as stack:
        pid = stack.pid if part == "supervisor" else stack.processes[part]
        killed_at = []

        def kill():
            killed_at.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)

        with pytest.raises(HarnessError, match=f"{part} .*(killed by SIGKILL|died)") as caught:
            run_job(stack, fault_settings, **{**JOB, "n_epochs": 20_000}, watch=Once(kill))

        assert time.monotonic() - killed_at[0] < 30  # the job would go on for longer, and its timeouts for minutes
        assert "region" not in str(caught.value)
        assert "kept-logs" in caught.value.remedy
    entry(outcome=caught.value.what)


def test_a_memcached_that_keeps_dying_is_started_ever_later(plain_stack):
    """The second death is followed by a pause; the port answers again after it."""
    died = [current_state(plain_stack).processes["memcached"]]
    for _ in range(2):
        os.kill(died[-1], signal.SIGKILL)
        assert wait_until(lambda: current_state(plain_stack).processes["memcached"] not in died, 30)
        died.append(current_state(plain_stack).processes["memcached"])

    log = (plain_stack.directory / "supervisor.log").read_text()
    assert "starting it again in 0." in log
