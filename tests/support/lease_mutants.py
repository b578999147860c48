"""Leases and revival with one rule removed; see `tests.support.removing`."""

import math

import msgspec

from tests.support.removing import around, nothing, without
from tests.support.simulated_lambda import SimulatedReviver
from training.exchange.recovery import lease, revival
from training.exchange.recovery.lease import Lease, LeaseState
from training.exchange.recovery.revival import LeaseWatch

# Rules whose removal nobody could notice, and why, as `EQUIVALENT` of `tests.support.mutants`.
LEASE_EQUIVALENT = {
    "revive: only the lowest of those that wait": "the record decides between survivors; the rule saves requests to S3",
}


def _revive_only(patch, when):
    """Lets a survivor revive those ranks alone for which `when` is true."""

    def change(dead, self, *seen, **more):
        return [one for one in dead(self, *seen, **more) if when(one)]

    around(patch, LeaseWatch, "dead", change)


def _state_of(dead):
    return lease.read_holder("", dead.lease).state if dead.lease else None


@without("revive: a rank whose heartbeat stands still", "seconds")
def _revive_no_dead(patch):
    _revive_only(patch, lambda dead: _state_of(dead) != LeaseState.HELD)


@without("revive: a rank whose lease was left", "seconds")
def _revive_none_that_left(patch):
    _revive_only(patch, lambda dead: _state_of(dead) != LeaseState.LEFT)


@without("revive: a rank whose lease is gone", "seconds")
def _revive_none_without_lease(patch):
    _revive_only(patch, lambda dead: dead.lease)


@without("revive: no rank that never joined", "deliveries")
def _revive_cold_starts(patch):
    around(patch, LeaseWatch, "dead", lambda dead, *seen, all_joined: dead(*seen, all_joined=True))  # noqa: ARG005


@without("revive: no rank that is done", "deliveries")
def _revive_the_done(patch):
    _reading(patch, LeaseState.DONE, LeaseState.HELD, revival)


@without("revive: wait longer each time", "deliveries")
def _revive_impatiently(patch):
    patch.setattr(revival, "PATIENCE_GROWTH", 1)


@without("revive: a rank at most so often", "deliveries")
def _revive_forever(patch):
    patch.setattr(revival, "MOST_REVIVALS", math.inf)
    around(patch, revival, "patience_s", lambda patience_s, revivals: patience_s(min(revivals, 2)))


@without("revive: who has not looked for long knows nothing", "deliveries")
def _trust_old_sightings(patch):
    patch.setattr(revival, "BLIND_S", math.inf)


@without("revive: of several survivors the first", "deliveries")
def _all_survivors_revive(patch):
    def change(_call, self, dead):
        self._simulation.deliver(dead.rank, 0.0, stood_still=dead.lease, revived=True)
        return dead.revivals + 1

    around(patch, SimulatedReviver, "__call__", change)


@without("lease: add it", "seconds of processes")
def _everybody_takes_it(patch):
    def change(_add_or_read, self):
        self._open().put_many({self._key: lease._packed(self._holder)})  # noqa: SLF001 - what the lease stores

    around(patch, Lease, "_add_or_read", change)


@without("lease: take over one whose heartbeat stands still")
def _wait_for_the_dead(patch):
    patch.setattr(lease, "STANDS_STILL_S", math.inf)


def _reading(patch, found, read_as, module=lease):
    def change(read_holder, key, value):
        holder = read_holder(key, value)
        return msgspec.structs.replace(holder, state=read_as) if holder.state == found else holder

    around(patch, module, "read_holder", change)


@without("lease: take one that was left", "seconds")
def _watch_the_left(patch):
    _reading(patch, LeaseState.LEFT, LeaseState.HELD)


@without("lease: take at once what a peer has seen stand still", "seconds")
def _watch_again(patch):
    def change(take_over, self, found, other):
        if found == self._stood_still:
            self._stood_still = b""
            return False
        return take_over(self, found, other)

    around(patch, Lease, "_take_over", change)


@without("lease: leave one that is done", "seconds of processes")
def _do_it_again(patch):
    _reading(patch, LeaseState.DONE, LeaseState.LEFT)


@without("lease: leave one whose heartbeat moves", "seconds of processes")
def _watch_on(patch):
    def change(acquire, self, *patience):
        while not acquire(self, *patience):
            if any(process.joined and process.rank == self._process.rank for process in self._simulation.processes):
                self._clock.sleep(lease.WATCH_POLL_S)
            if len(self._simulation.results) == self._simulation.schedule.world_size:
                return False
        return True

    around(patch, Lease, "acquire", change)


@without("lease: add it again when the cache has lost it", "seconds of processes")
def _lose_the_lease(patch):
    def change(heartbeat, self):
        if self._open().get_many([self._key]):
            heartbeat(self)

    around(patch, Lease, "heartbeat", change)


@without("lease: a heartbeat whose answer was lost")
def _yield_to_itself(patch):
    read = []

    def remember(read_holder, key, value):
        read[:] = [read_holder(key, value)]
        return read[0]

    def change(heartbeat, self):
        heartbeat(self)
        self._lost |= bool(read) and self._holder is read[0]

    around(patch, lease, "read_holder", remember)
    around(patch, Lease, "heartbeat", change)


@without("lease: yield to a later try", "seconds of processes")
@without("lease: yield to an equal try whose heartbeat moves", "seconds of processes")
def _yield_to_nobody(patch):
    def change(meet, self, *other):
        meet(self, *other)
        self._lost = False

    around(patch, Lease, "_meet", change)


@without("lease: overwrite an earlier try's", "seconds of processes")
def _overwrite_nothing(patch):
    def change(meet, self, other, found, moved):
        if other.attempt >= moved.attempt:
            meet(self, other, found, moved)

    around(patch, Lease, "_meet", change)


@without("lease: stop when another try has it", "seconds of processes")
def _go_on(patch):
    nothing(patch, Lease, "check")
