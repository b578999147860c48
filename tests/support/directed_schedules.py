"""Schedules aimed at one rule of recovery each, where chance rarely gets; the mutation run tries them first."""

from tests.support.simulation import Fault, Schedule

# Lambda's own retry comes much later than a revival, yet within the patience of the ranks.
LAMBDA_S = 25.0
# So long a rank computes while others show what they do meanwhile.
LONG_S = 12.0

FRAME = "/2/0/{}/"


def faulty(*faults, **job):
    """A schedule of faults: kind, seconds, and whose frame of round 2 or which key they are aimed at, or a rank."""
    return Schedule(
        faults=tuple(
            Fault(kind, 40, rank=aim, seconds=seconds)
            if isinstance(aim, int)
            else Fault(kind, 1, seconds=seconds, of=aim)
            for kind, seconds, aim in faults
        ),
        **job,
    )


# Rank 2 computes for long; whatever rank 1's tries do meanwhile, they do for long.
LONG = ("straggle", LONG_S, 2)

DIRECTED: dict[str, tuple[Schedule, ...]] = {
    "revive: a rank whose heartbeat stands still": (faulty(("kill", LAMBDA_S, 1), revive=True),),
    "revive: a rank whose lease is gone": (
        faulty(("kill", LAMBDA_S, FRAME.format(1)), ("restart", 0.0, "/position/0/"), revive=True),
    ),
    "revive: a rank whose lease was left": (faulty(("fail", LAMBDA_S, 1), revive=True),),
    "lease: add it": (faulty(("duplicate", 0.0, 1), LONG),),
    "lease: take one that was left": (faulty(("fail", 0.5, 1)),),
    "lease: take at once what a peer has seen stand still": (faulty(("kill", LAMBDA_S, 1), revive=True),),
    "lease: leave one whose heartbeat moves": (faulty(("duplicate", 0.0, 1), LONG),),
    "lease: add it again when the cache has lost it": (faulty(("restart", 0.0, 0), LONG, revive=True),),
    "lease: yield to an equal try whose heartbeat moves": (faulty(("usurp", 0.0, 1), LONG),),
    "lease: yield to a later try": (faulty(("freeze", 3.0, 1), ("duplicate", 0.0, 1), LONG),),
    "lease: stop when another try has it": (faulty(("freeze", 3.0, 1), ("duplicate", 0.0, 1), LONG),),
    "revive: no rank that never joined": (
        Schedule(faults=(Fault("kill", 1, rank=2, seconds=5.0, share=0.0),), revive=True),
    ),
}
