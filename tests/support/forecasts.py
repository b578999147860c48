"""A run to forecast, and forecasts of it."""

from harness.report.assumptions import default_assumptions
from harness.report.forecast import sample_run
from harness.report.measurements import Measured

# Computing decides: 100 s on one worker.
RUN = Measured(
    run_id="a-run",
    sync_mode="reduce",
    workers=4,
    rows=90_000,
    data_bytes=1_000_000,
    part_bytes=120,
    rounds=100,
    other_all_reduces=0,
    round_rows=4000,
    compute_s=1.0,
    evaluation_s=0.0,
    decode_s=0.1,
    max_rss_mb=80.0,
)
ASSUMED = default_assumptions()


def forecasts(workers, memory_mb=(1769,)):
    """Forecasts."""
    return [sample_run(RUN, count, size, ASSUMED).forecast for count in workers for size in memory_mb]
