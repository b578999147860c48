"""A rank dies, and the cache is empty before its next try: what that rank alone had is gone, and all ranks go back."""

import time

import pytest

# Rank 0's put meets its faults in this order, so rank 1 is dead when the cache goes, and not yet back. In `reduce`
# rank 0 would put nothing before rank 1 has.
FAULTS = ("kill rank=1 round=8", "delay rank=0 round=8 ms=400 n=1", "restart memcached rank=0 round=8")
FILTER = {"significance": 0.3}
CHECKPOINTS = {"checkpoint_every_s": 0.001}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("algorithm", "pattern", "job"),
    [
        pytest.param("admm", "all_gather", CHECKPOINTS, id="admm, checkpoint"),
        pytest.param("admm", "all_gather", {}, id="admm, start", marks=pytest.mark.slow),
        pytest.param("grad_avg", "reduce_scatter", FILTER, id="filter, start", marks=pytest.mark.slow),
        pytest.param("grad_avg", "all_gather", FILTER | CHECKPOINTS, id="filter, checkpoint", marks=pytest.mark.slow),
    ],
)
def test_a_private_state_that_is_lost_costs_rounds_and_no_bit(algorithm, pattern, job, play, undisturbed, entry):
    """The run ends with the undisturbed model; its events say who went back, why, and from where it went on."""
    entry(scenario="killed, and memcached restarts empty", algorithm=algorithm, pattern=pattern)
    sha256, seconds = undisturbed(algorithm, pattern, **job)
    started = time.perf_counter()

    summary = play(algorithm, pattern, FAULTS, **job)

    entry(outcome="same model", cost=f"{time.perf_counter() - started - seconds:+.2f}")
    assert sha256 == summary.model["sha256"]
    assert all(event["times"] for event in summary.events if event["event"] == "fault"), summary.events
    back = {event["rank"]: event for event in summary.events if event["event"] == "rolled_back"}
    assert {0, 1, 2} == set(back), summary.events
    assert {(1, 1)} == {(event["lost_by"], event["generation"]) for event in back.values()}
    resumed = {event["round"] for event in summary.events if event["event"] == "resumed"}
    assert len(resumed) == bool("checkpoint_every_s" in job)
    assert all(0 < number < 8 for number in resumed)
