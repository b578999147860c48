"""Schedules aimed at one rule of recovery each, where chance rarely gets; the mutation run tries them first."""

from tests.support.simulation import Fault, Schedule

# Lambda's own retry comes much later than a revival, yet within the patience of the ranks.
LAMBDA_S = 25.0
# So long a rank computes while others show what they do meanwhile.
LONG_S = 12.0

FRAME = "/2/0/{}/"


def faulty(*faults, **job):
    """A schedule of faults in their order: kind, seconds, and a rank or a key to aim at."""
    return Schedule(
        faults=tuple(
            Fault(kind, 40 + number, rank=aim, seconds=seconds)
            if isinstance(aim, int)
            else Fault(kind, 1, seconds=seconds, of=aim)
            for number, (kind, seconds, aim) in enumerate(faults)
        ),
        **job,
    )


# Rank 2 computes for long; whatever rank 1's tries do meanwhile, they do for long.
LONG = ("straggle", LONG_S, 2)

# It dies as soon as it has said that it is back, which prolongs the others' patience; all wait for it alone.
DIES_AGAIN = Schedule(
    faults=(
        Fault("kill", 40, rank=1, seconds=LAMBDA_S),
        *(Fault("kill", operation, seconds=LAMBDA_S, share=1.0, of="/position/1/") for operation in (100, 900, 3500)),
    ),
    mode="all_gather",
    revive=True,
)

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
    "lease: leave one that is done": (faulty(("kill", LAMBDA_S, 1), revive=True),),
    # The cache is away when rank 2, which computes, has been watched for a while.
    "revive: who has not looked for long knows nothing": (
        Schedule(
            faults=(Fault("straggle", 40, rank=2, seconds=LONG_S), Fault("outage", 450, seconds=3.0)), revive=True
        ),
    ),
    # Nobody hears that the other waits as well, so both find rank 1 dead.
    "revive: of several survivors the first": (
        Schedule(faults=(Fault("kill", 40, rank=1, seconds=LAMBDA_S), Fault("refuse", 50, seconds=1.6)), revive=True),
    ),
    "revive: a rank at most so often": (DIES_AGAIN,),
    "revive: wait longer each time": (DIES_AGAIN,),
    # A first try gets the lease that the cache has lost, while the second try of rank 1 works.
    "lease: overwrite an earlier try's": (
        Schedule(
            faults=(
                Fault("kill", 40, rank=1, seconds=0.1),
                Fault("straggle", 41, rank=2, seconds=LONG_S),
                Fault("usurp", 700, rank=1),
            )
        ),
    ),
    # Rank 0 has asked S3 a moment ago, sleeps while rank 1 ends, and the cache has lost all that would tell it so.
    "revive: no rank that is done": (
        Schedule(
            world_size=2,
            faults=(
                Fault("straggle", 1, rank=1, seconds=1.05),
                Fault("freeze", 1, seconds=0.1, of="/7/0/0/"),
                Fault("evict", 1, share=1.0, of="/over/", loses="/7/0/"),
                Fault("evict", 1, share=1.0, of="/over/"),
            ),
            seed=1,
            revive=True,
        ),
    ),
}
