"""Which rules of recovery a schedule takes: each has a name and a counter, and is observed from outside.

`counting` puts a wrapper around each function that a rule is part of; the functions themselves know nothing of it.
A wrapper calls the real function, and counts by what went in and what came out.
"""

import functools
import threading
from collections import Counter
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from tests.support.simulated_channel import LEASES, SimulatedChannel
from tests.support.simulated_lambda import SimulatedReviver
from tests.support.simulation import Simulation
from training.errors import DamagedFrame, DuplicateDelivery
from training.exchange.channel.retrying import RetryingChannel
from training.exchange.exchange import Exchange
from training.exchange.incoming import Incoming
from training.exchange.recovery import lease, recovery, state
from training.exchange.recovery.lease import Lease, LeaseState
from training.exchange.recovery.patient_wait import PatientWait
from training.exchange.recovery.peers import LIVE_S, Peers
from training.exchange.recovery.private_state import PrivateState
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rejoin import Rejoin
from training.exchange.recovery.revival import BLIND_S, MOST_REVIVALS, LeaseWatch, patience_s
from training.exchange.recovery.rollback import Rollback
from training.exchange.recovery.rules import NOBODY, HandOver, KeepPolling, Phase, Publish, Republish, TakeSnapshot
from training.exchange.recovery.state import RecoveryState

RULES = (
    "decide: hand its state over to the rank that asks",
    "decide: answer a question once",
    "decide: a new rank that is asked has no state",
    "decide: a new rank takes a snapshot",
    "decide: a rank left behind takes a snapshot",
    "decide: a rank goes back for one that needs its frames",
    "decide: of several donors the one furthest behind",
    "decide: of several as far behind the lowest rank",
    "decide: a donor that has finished",
    "decide: nobody goes back for a rank left behind",
    "decide: listen before choosing a donor",
    "decide: republish frames that another rank misses",
    "decide: do not republish what is no longer held",
    "state: publish the position at once on news",
    "state: ask the same donor again",
    "state: republish once per heartbeat at most",
    "peers: a position whose heartbeat stands still is not alive",
    "act: store the state again that the channel refused",
    "act: ignore a damaged position",
    "act: resume from a snapshot",
    "act: ask again for a damaged snapshot",
    "act: ask again for a snapshot that is not whole",
    "act: drop a snapshot that is no longer needed",
    "act: leave an outdated checkpoint",
    "act: leave a run that the `over` key ends",
    "act: leave a run whose results are stored",
    "wait: a damaged frame counts as absent",
    "wait: a poll that fails is repeated",
    "wait: read a frame in pieces from its beginning",
    "wait: a sign of life extends the deadline",
    "channel: try a failed operation again",
    "private: resume with the private state in the cache",
    "private: go back one round for the private state",
    "back: send all ranks back for a lost private state",
    "back: send them back when going back one round is in vain",
    "back: go back with the others",
    "back: a late try enters the newest generation",
    "back: store the marker again that the cache has lost",
    "back: ignore a damaged marker",
    "checkpoint: all resume from the newest",
    "checkpoint: private state from the checkpoint",
    "start over: no checkpoint, and nobody to ask",
    "end: the `over` key ends the stay",
    "revive: a rank whose heartbeat stands still",
    "revive: a rank whose lease was left",
    "revive: a rank whose lease is gone",
    "revive: no rank that never joined",
    "revive: no rank that is done",
    "revive: only the lowest of those that wait",
    "revive: wait longer each time",
    "revive: a rank at most so often",
    "revive: who has not looked for long knows nothing",
    "revive: of several survivors the first",
    "lease: add it",
    "lease: take over one whose heartbeat stands still",
    "lease: take one that was left",
    "lease: take at once what a peer has seen stand still",
    "lease: leave one whose heartbeat moves",
    "lease: leave one that is done",
    "lease: add it again when the cache has lost it",
    "lease: a heartbeat whose answer was lost",
    "lease: yield to a later try",
    "lease: yield to an equal try whose heartbeat moves",
    "lease: overwrite an earlier try's",
    "lease: stop when another try has it",
)


class Taken(Counter[str]):
    """How many schedules took each rule."""

    def __init__(self):
        super().__init__(dict.fromkeys(RULES, 0))
        self._now = set()

    def take(self, rule):
        """Notes that the present schedule takes a rule."""
        if rule not in self._now:
            assert rule in self, rule
            self._now.add(rule)

    def end_schedule(self):
        """Counts the rules that the schedule took."""
        self.update(self._now)
        self._now.clear()

    def never(self):
        """Returns the rules that no schedule took."""
        return [rule for rule in RULES if not self[rule]]

    def table(self):
        """Returns the rules with their counts, ready to be printed."""
        width = max(map(len, RULES))
        return "\n".join([f"{'rule':{width}}  schedules", *(f"{rule:{width}}  {self[rule]:9,}" for rule in RULES)])


@contextmanager
def counting():
    """Counts the rules that are taken within the block."""
    taken = Taken()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, wrapper_of in OBSERVERS:
            original = getattr(owner, name)
            patch.setattr(owner, name, functools.wraps(original)(wrapper_of(taken.take, original)))
        run = Simulation.run
        patch.setattr(Simulation, "run", lambda self: _ended(taken, lambda: run(self)))
        yield taken


def _ended(taken, run):
    try:
        return run()
    finally:
        taken.end_schedule()


OBSERVERS: list[tuple[Any, str, Any]] = []


def observes(owner, name):
    """Registers a function that returns a wrapper: it calls the original, and counts by what went in and came out."""

    def register(wrapper_of):
        OBSERVERS.append((owner, name, wrapper_of))
        return wrapper_of

    return register


@observes(state, "decide")
def _decide(take, decide):
    def wrapper(own, others, *, answered, settled):
        action = decide(own, others, answered=answered, settled=settled)
        asked = any(other.asks == own.rank for other in others)
        match action:
            case HandOver():
                take("decide: hand its state over to the rank that asks")
            case TakeSnapshot(donor):
                take(reason_of(own, others, decide))
                _count_choice(take, donor, others)
            case Republish():
                take("decide: republish frames that another rank misses")
            case KeepPolling():
                _count_restraint(take, own, others, listens=not settled and decide(own, others, answered=answered))
        if asked and not isinstance(action, HandOver):
            new = own.phase == Phase.NEW
            take("decide: a new rank that is asked has no state" if new else "decide: answer a question once")
        return action

    return wrapper


def _count_restraint(take, own, others, *, listens):
    """Counts why this rank does nothing."""
    if isinstance(listens, TakeSnapshot):
        take("decide: listen before choosing a donor")
    if any(own.rank in other.missing and other.round < own.holds_from for other in others):
        take("decide: do not republish what is no longer held")
    if own.phase != Phase.NEW and any(o.phase != Phase.NEW and o.round < own.began_at for o in others):
        take("decide: nobody goes back for a rank left behind")


def reason_of(own, others, decide):
    """Names the rule by which this rank takes a snapshot."""
    if own.phase == Phase.NEW:
        return "decide: a new rank takes a snapshot"
    stays = msgspec.structs.replace(own, began_at=0)
    if isinstance(decide(stays, others), TakeSnapshot):
        return "decide: a rank left behind takes a snapshot"
    return "decide: a rank goes back for one that needs its frames"


def _count_choice(take, donor, others):
    trainers = {other.rank: other for other in others if other.phase != Phase.NEW}
    chosen = trainers.pop(donor)
    if any(chosen.round < other.round for other in trainers.values()):
        take("decide: of several donors the one furthest behind")
    if any(chosen.round == other.round for other in trainers.values()):
        take("decide: of several as far behind the lowest rank")
    if chosen.phase == Phase.FINISHED:
        take("decide: a donor that has finished")


@observes(RecoveryState, "next_action")
def _next_action(take, next_action):
    def wrapper(self, now):
        asked, republishes = self.own, self._next_republish
        action = next_action(self, now)
        if isinstance(action, Publish) and asked.asks != NOBODY and action.position.asks == asked.asks:
            take("state: ask the same donor again")
        needed = any(self.own.rank in other.missing for other in self.peers.live(now))
        if isinstance(action, KeepPolling) and needed and now < republishes:
            take("state: republish once per heartbeat at most")
        return action

    return wrapper


@observes(Peers, "hear")
def _hear(take, hear):
    def wrapper(self, positions, now):
        news = hear(self, positions, now)
        if news:
            take("state: publish the position at once on news")
        return news

    return wrapper


@observes(Peers, "live")
def _live(take, live):
    def wrapper(self, now):
        if any(moved_at > 0 and now - moved_at >= LIVE_S for _, moved_at in self._heard.values()):
            take("peers: a position whose heartbeat stands still is not alive")
        return live(self, now)

    return wrapper


@observes(Recovery, "_try_to_store")
def _try_to_store(take, try_to_store):
    def wrapper(self, values):
        stored = try_to_store(self, values)
        if not stored and any("/snapshot/" in key for key in values):
            take("act: store the state again that the channel refused")
        return stored

    return wrapper


@observes(recovery, "read_position")
def _read_position(take, read_position):
    def wrapper(*arguments, **bounds):
        position = read_position(*arguments, **bounds)
        if position is None:
            take("act: ignore a damaged position")
        return position

    return wrapper


# What an inner wrapper saw is kept for the outer one of its thread.
_seen = threading.local()


@observes(recovery, "read_snapshot")
def _read_snapshot(take, read_snapshot):
    def wrapper(*arguments, **bounds):
        try:
            _seen.snapshot = read_snapshot(*arguments, **bounds)
        except DamagedFrame:
            _seen.snapshot = "damaged"
            take("act: ask again for a damaged snapshot")
            raise
        return _seen.snapshot

    return wrapper


@observes(Recovery, "_take")
def _take(take, take_snapshot):
    def wrapper(self, first_piece, since):
        _seen.snapshot = None
        try:
            take_snapshot(self, first_piece, since)
        except Rejoin:
            take("act: resume from a snapshot")
            raise
        if _seen.snapshot is None:
            take("act: ask again for a snapshot that is not whole")
        elif _seen.snapshot != "damaged" and not self._state.resumes_before(_seen.snapshot.round):
            take("act: drop a snapshot that is no longer needed")

    return wrapper


@observes(Recovery, "_check_done")
def _check_done(take, check_done):
    def wrapper(self, found, now):
        try:
            check_done(self, found, now)
        except Rejoin:
            take("act: leave an outdated checkpoint")
            raise
        except DuplicateDelivery:
            by_key = self.mailbox.keys.done in found
            take("act: leave a run that the `over` key ends" if by_key else "act: leave a run whose results are stored")
            raise

    return wrapper


@observes(PatientWait, "poll")
def _poll(take, poll):
    def wrapper(self, keys, buffers=None):
        found = poll(self, keys, buffers)
        if self._failure is not None:
            take("wait: a poll that fails is repeated")
        if self._keys.done in keys and self._keys.done in found:
            take("end: the `over` key ends the stay")
        return found

    return wrapper


@observes(PatientWait, "damaged")
def _damaged(take, damaged):
    def wrapper(self, error):
        take("wait: a damaged frame counts as absent")
        damaged(self, error)

    return wrapper


@observes(PatientWait, "pause")
def _pause(take, pause):
    def wrapper(self, missing, **found):
        started = self._started
        start_over = pause(self, missing, **found)
        if self._started > started:
            take("wait: a sign of life extends the deadline")
        return start_over

    return wrapper


@observes(Incoming, "start_over")
def _start_over(take, start_over):
    def wrapper(self):
        if self._pieces:
            take("wait: read a frame in pieces from its beginning")
        start_over(self)

    return wrapper


@observes(RetryingChannel, "_retry")
def _retry(take, retry):
    def wrapper(self, *arguments):
        take("channel: try a failed operation again")
        return retry(self, *arguments)

    return wrapper


@observes(PrivateState, "fitting")
def _fitting(take, fitting):
    def wrapper(self, snapshot):
        try:
            used = fitting(self, snapshot)
        except Rejoin:
            take("back: send them back when going back one round is in vain")
            raise
        if used.round < snapshot.round:
            take("private: go back one round for the private state")
        return used

    return wrapper


@observes(PrivateState, "resume")
def _resume_from_cache(take, resume):
    def wrapper(self, kind, number):
        try:
            private = resume(self, kind, number)
        except Rejoin:
            take("back: send all ranks back for a lost private state")
            raise
        take("private: resume with the private state in the cache")
        return private

    return wrapper


@observes(Rollback, "follow")
def _follow(take, follow):
    def wrapper(self, found, number, now):
        marker, next_store = found.get(self._mailbox.keys.back), self._next_store
        try:
            follow(self, found, number, now)
        except Rejoin:
            take("back: go back with the others")
            raise
        if self._next_store > next_store:
            take("back: store the marker again that the cache has lost")
        if marker is not None and self._read(found) is None:
            take("back: ignore a damaged marker")

    return wrapper


@observes(Rollback, "find")
def _find(take, find):
    def wrapper(self):
        before = self._present
        find(self)
        if self._present != before:
            take("back: a late try enters the newest generation")

    return wrapper


@observes(Exchange, "resume")
def _resume(take, resume):
    def wrapper(self, *arguments):
        if self._snapshot is None and self.started_from:
            take("checkpoint: all resume from the newest")
        elif self._snapshot is None and self._mailbox.attempt > 1:
            take("start over: no checkpoint, and nobody to ask")
        return resume(self, *arguments)

    return wrapper


@observes(Exchange, "resume_private")
def _resume_private(take, resume_private):
    def wrapper(self, *arguments):
        private = resume_private(self, *arguments)
        if self._snapshot is None and self.started_from:
            take("checkpoint: private state from the checkpoint")
        return private

    return wrapper


@observes(LeaseWatch, "see")
def _see(take, see):
    def wrapper(self, leases, now):
        for rank, value in leases.items():
            known = self._seen.get(rank)
            if known is not None and known.value == value and now - known.last > BLIND_S:
                take("revive: who has not looked for long knows nothing")
        see(self, leases, now)

    return wrapper


@observes(LeaseWatch, "choose")
def _choose(take, choose):
    def wrapper(self, waiting):
        choose(self, waiting)
        if not self.ranks and len(waiting) < len(self._others):
            take("revive: only the lowest of those that wait")

    return wrapper


@observes(LeaseWatch, "dead")
def _dead(take, dead):
    def wrapper(self, keys, now, *, all_joined):
        found = dead(self, keys, now, all_joined=all_joined)
        for rank in set(self.ranks) & self._seen.keys():
            sighting = self._seen[rank]
            stood_still_s = now - sighting.since
            holder = None if sighting.value is None else lease.read_holder(keys[rank], sighting.value)
            if any(one.rank == rank for one in found):
                take(f"revive: a rank whose {_state_of(holder)}")
            elif stood_still_s >= patience_s(0):
                take(_restraint(holder, self._revivals.get((rank, self._link), 0), stood_still_s))
        return found

    return wrapper


def _state_of(holder):
    if holder is None:
        return "lease is gone"
    return "heartbeat stands still" if holder.state == LeaseState.HELD else "lease was left"


def _restraint(holder, revivals, stood_still_s):
    """Names the rule by which a rank that has stood still is not revived."""
    if holder is not None and holder.state == LeaseState.DONE:
        return "revive: no rank that is done"
    if revivals >= MOST_REVIVALS:
        return "revive: a rank at most so often"
    return (
        "revive: wait longer each time" if stood_still_s < patience_s(revivals) else "revive: no rank that never joined"
    )


def _revived_by(reviver):
    """Counts how often a rank has revived others."""
    simulation, rank = reviver._simulation, reviver._rank  # noqa: SLF001 - which of the survivors it is
    return sum((event, by) == ("revived", rank) for _, event, by, _ in simulation.notes)


@observes(SimulatedReviver, "__call__")
def _revive(take, revive):
    def wrapper(self, dead):
        before = _revived_by(self)
        revivals = revive(self, dead)
        if _revived_by(self) == before:
            take("revive: of several survivors the first")
        return revivals

    return wrapper


@observes(Lease, "_take_over")
def _take_over(take, take_over):
    def wrapper(self, found, other):
        taken = take_over(self, found, other)
        if taken:
            _seen.took_over = True
            if found == self._stood_still:
                take("lease: take at once what a peer has seen stand still")
            elif other.state == LeaseState.HELD:
                take("lease: take over one whose heartbeat stands still")
            else:
                take("lease: take one that was left")
        return taken

    return wrapper


@observes(Lease, "acquire")
def _acquire(take, acquire):
    def wrapper(self, *arguments):
        _seen.took_over = False
        taken = acquire(self, *arguments)
        if taken and not _seen.took_over:
            take("lease: add it")
        if not taken:
            moves = _seen.holder.state == LeaseState.HELD
            take("lease: leave one whose heartbeat moves" if moves else "lease: leave one that is done")
        return taken

    return wrapper


@observes(lease, "read_holder")
def _read_holder(take, read_holder):
    del take

    def wrapper(key, value):
        _seen.holder = read_holder(key, value)
        return _seen.holder

    return wrapper


@observes(Lease, "heartbeat")
def _heartbeat(take, heartbeat):
    def wrapper(self):
        _seen.holder, _seen.beats = None, True
        heartbeat(self)
        _seen.beats = False
        if _seen.holder is not None and _seen.holder.token == self.token:
            take("lease: a heartbeat whose answer was lost")

    return wrapper


@observes(Lease, "_meet")
def _meet(take, meet):
    def wrapper(self, other, found, moved):
        meet(self, other, found, moved)
        if self._lost:
            later = other.attempt > moved.attempt
            take("lease: yield to a later try" if later else "lease: yield to an equal try whose heartbeat moves")
        elif self._holder is moved:
            take("lease: overwrite an earlier try's")

    return wrapper


@observes(SimulatedChannel, "add")
def _add(take, add):
    def wrapper(self, key, value):
        added = add(self, key, value)
        if added and key.startswith(LEASES) and getattr(_seen, "beats", False):
            take("lease: add it again when the cache has lost it")
        return added

    return wrapper


@observes(Lease, "check")
def _check(take, check):
    def wrapper(self):
        try:
            check(self)
        except DuplicateDelivery:
            take("lease: stop when another try has it")
            raise

    return wrapper
