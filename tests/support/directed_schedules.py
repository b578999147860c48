"""Schedules aimed at one rule of recovery each, where chance rarely gets; the mutation run tries them first."""

from tests.support.simulation import Fault, Schedule

# Lambda's own retry comes much later than a revival, yet within the patience of the ranks.
LAMBDA_S = 25.0

DIRECTED: dict[str, tuple[Schedule, ...]] = {
    "revive: a rank whose heartbeat stands still": (
        Schedule(faults=(Fault("kill", 40, rank=1, seconds=LAMBDA_S),), revive=True),
    ),
    "revive: a rank whose lease is gone": (
        Schedule(
            faults=(
                Fault("kill", 1, seconds=LAMBDA_S, of="/2/0/1/"),
                Fault("restart", 1, seconds=0.0, of="/position/0/"),
            ),
            revive=True,
        ),
    ),
}
