"""What a schedule must not show of its tries: that two of a rank work at once, wait for nothing, or come for nothing.

Each is billed, and two that work also write to the same run. A rule may need a moment before it takes effect, and each
moment in which a lease could not be moved or found gives it another.
"""

import math
from itertools import pairwise

import msgspec

from training.exchange.recovery.lease import HEARTBEAT_S, STANDS_STILL_S, Holder, LeaseState
from training.exchange.recovery.patient_wait import LONG_WAIT_S
from training.exchange.recovery.revival import MOST_REVIVALS, patience_s

# Operations, a poll, and a request or two.
SOON_S = 0.3
# Computations of a round, within which a try does not ask whether it may go on.
COMPUTATIONS_S = 0.8
# Two heartbeats show that an equal try lives, or four that it does not; then a long wait or the next round asks.
BOTH_WORK_S = STANDS_STILL_S + HEARTBEAT_S + LONG_WAIT_S + COMPUTATIONS_S + SOON_S
# Of several tries that come to a rank at once, one may see the heartbeat of another just before that one is gone.
WATCHES_S = STANDS_STILL_S + SOON_S
# What keeps a living rank from moving its heartbeat while others can look; nobody can look while the cache is away.
SEEMS_DEAD = {"freeze", "refuse"}
# Noted before any rule is removed.
PATIENCE_S = [patience_s(revivals) for revivals in range(MOST_REVIVALS)]


class TooMany(Exception):
    """Tries, waits or revivals that no rule allows."""


def check_tries(simulation):
    """Checks the tries of every rank.

    Raises:
        TooMany: Two work beside each other, one waits too long, or a rank is revived that needs it not.
    """
    for rank in range(simulation.schedule.world_size):
        tries = [process for process in simulation.processes if process.rank == rank]
        for one in tries:
            _check_wait(simulation, one, tries)
            for other in tries:
                if one.joined_at < other.joined_at < math.inf:
                    _check_pair(simulation, one, other)
        _check_revivals(simulation, rank, tries)


def _check_wait(simulation, process, tries):
    """A delivery takes the lease, or leaves, as soon as it can know which."""
    until = min(process.joined_at, process.over_at, process.ended_at)
    waits_s, held = _quiet_s(simulation, process.rank, process.starts_at, until), _decoded(process.met)
    if waits_s > WATCHES_S:
        raise TooMany(f"{process.name} waits {waits_s:.2f} s for a lease")
    if held is None:
        return
    alone = not any(one is not process and one.starts_at < until and one.over_at > process.starts_at for one in tries)
    stood_still = process.met == process.revival.get("stood_still")
    if waits_s > SOON_S and alone and (stood_still or held.state != LeaseState.HELD):
        raise TooMany(f"{process.name} waits {waits_s:.2f} s for a lease that is free, or done: {held}")
    if held.state == LeaseState.DONE and process.joined and waits_s == until - process.starts_at:
        raise TooMany(f"{process.name} runs, though its rank is done")


def _check_pair(simulation, one, other):
    """A later try begins when the earlier one is over, or seemed to be; then one of them soon stops."""
    began, ended = other.joined_at, min(one.over_at, other.over_at)
    if ended <= began:
        return
    quiet_s = began - _last_disturbed(simulation, one.rank, began)
    if quiet_s > STANDS_STILL_S + HEARTBEAT_S + SOON_S:
        raise TooMany(f"{other.name} begins at {began:.2f} s while {one.name} works")
    both_s = _quiet_s(simulation, one.rank, began, ended)
    if both_s > BOTH_WORK_S:
        raise TooMany(f"{one.name} and {other.name} both work for {both_s:.2f} s")


def _check_revivals(simulation, rank, tries):
    """Nobody revives a rank that lives, is done or never was there; nor too soon, nor too often."""
    revived_at = [process.invoked_at for process in tries if process.revival.get("revived")]
    if len(revived_at) > MOST_REVIVALS:
        raise TooMany(f"rank {rank} is revived {len(revived_at)} times")
    for number, (earlier, later) in enumerate(pairwise(revived_at), 1):
        if later - earlier < PATIENCE_S[number]:
            raise TooMany(f"rank {rank} is revived at {earlier:.2f} s and again at {later:.2f} s")
    for when, dead in simulation.asked_revivals:
        if dead.rank != rank:
            continue
        held = _decoded(dead.lease)
        if held is not None and held.state == LeaseState.DONE:
            raise TooMany(f"rank {rank} is revived at {when:.2f} s, and is done")
        if not any(min(process.stored_at, process.joined_at) < when for process in tries):
            raise TooMany(f"rank {rank} is revived at {when:.2f} s, and has not been there")
        moves_s = 2 * HEARTBEAT_S
        works = any(process.joined_at < when - moves_s and process.over_at > when for process in tries)
        if works and when - _last_disturbed(simulation, rank, when, SEEMS_DEAD) > moves_s:
            raise TooMany(f"rank {rank} is revived at {when:.2f} s, and lives")


def _disturbances(simulation, rank):
    return [one for one in simulation.disturbances if one.rank in (None, rank)]


def _last_disturbed(simulation, rank, until, kinds=frozenset()):
    """Returns when the lease of a rank was last disturbed before a moment, by some kinds of faults or by any."""
    ends = [
        min(one.until, until)
        for one in _disturbances(simulation, rank)
        if one.since <= until and (not kinds or one.kind in kinds)
    ]
    return max(ends, default=-math.inf)


def _quiet_s(simulation, rank, since, until):
    """Returns the longest time between two moments in which the lease of a rank was not disturbed."""
    longest = 0.0
    for one in sorted(_disturbances(simulation, rank), key=lambda one: one.since):
        if one.until >= since and one.since <= until:
            longest = max(longest, one.since - since)
            since = max(since, one.until)
    return max(longest, until - since)


def _decoded(value):
    return msgspec.msgpack.decode(value, type=Holder) if value else None
