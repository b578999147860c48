"""Recovery with one rule removed: what the oracle of schedules must notice, each on schedules that take the rule.

The mutants of leases and of revival are in `tests.support.lease_mutants`.
"""

import math

from tests.support.removing import around, failing, nothing, without
from tests.support.taken_rules import reason_of
from training.errors import ChannelError, ImpossibleValue, StateLost
from training.exchange.channel.retrying import RetryingChannel
from training.exchange.exchange import Exchange
from training.exchange.incoming import Incoming
from training.exchange.recovery import peers, recovery, rules, state
from training.exchange.recovery.patient_wait import PatientWait
from training.exchange.recovery.peers import Peers
from training.exchange.recovery.private_state import PrivateState
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rollback import Rollback
from training.exchange.recovery.rules import HandOver, KeepPolling, Phase, Republish, TakeSnapshot
from training.exchange.recovery.state import RecoveryState

# Rules whose removal changes nothing that anybody could notice, and why.
EQUIVALENT = {
    "decide: of several as far behind the lowest rank": "any of them does; the lowest, so that polls do not alternate",
}


def instead(patch, kind, when=lambda _own, _others, _action: True):
    """Lets `decide` do nothing instead of one kind of action."""

    def change(decide, own, others, **more):
        action = decide(own, others, **more)
        return KeepPolling() if isinstance(action, kind) and when(own, others, action) else action

    around(patch, state, "decide", change)


@without("decide: hand its state over to the rank that asks")
def _no_hand_over(patch):
    instead(patch, HandOver)


@without("decide: answer a question once", "snapshots")
def _answer_again(patch):
    around(patch, state, "decide", lambda decide, *ranks, answered, settled: decide(*ranks, settled=settled))  # noqa: ARG005


@without("decide: a new rank that is asked has no state")
def _new_donors(patch):
    def change(decide, own, others, **more):
        asking = [other for other in others if other.asks == own.rank and own.phase == Phase.NEW]
        return HandOver(asking[0]) if asking else decide(own, others, **more)

    around(patch, state, "decide", change)


def _no_snapshots(patch, rule):
    decide = state.decide
    instead(patch, TakeSnapshot, lambda own, others, _action: reason_of(own, others, decide) == rule)


@without("decide: a new rank takes a snapshot")
def _no_return(patch):
    _no_snapshots(patch, "decide: a new rank takes a snapshot")


@without("decide: a rank left behind takes a snapshot")
def _no_catching_up(patch):
    _no_snapshots(patch, "decide: a rank left behind takes a snapshot")


@without("decide: a rank goes back for one that needs its frames")
def _no_going_back(patch):
    _no_snapshots(patch, "decide: a rank goes back for one that needs its frames")


@without("decide: of several donors the one furthest behind", "snapshots")
def _furthest_ahead(patch):
    patch.setattr(rules, "min", max, raising=False)


@without("decide: a donor that has finished")
def _no_finished_donors(patch):
    def finished(_own, others, action):
        return any(other.rank == action.donor and other.phase == Phase.FINISHED for other in others)

    instead(patch, TakeSnapshot, finished)


@without("decide: nobody goes back for a rank left behind")
def _back_for_everybody(patch):
    def change(left_behind, position, trainers):
        return position not in trainers and left_behind(position, trainers)

    around(patch, rules, "_left_behind", change)


@without("decide: listen before choosing a donor", "snapshots")
def _no_listening(patch):
    nothing(patch, Peers, "settled", answer=True)


@without("decide: republish frames that another rank misses")
def _no_republishing(patch):
    instead(patch, Republish)


@without("decide: do not republish what is no longer held", "frames stored again")
def _republish_always(patch):
    def change(decide, own, others, **more):
        action = decide(own, others, **more)
        missing = tuple(other.rank for other in others if own.rank in other.missing)
        return Republish(missing) if missing and action == KeepPolling() else action

    around(patch, state, "decide", change)


@without("state: publish the position at once on news", "seconds")
def _no_news(patch):
    around(patch, Peers, "hear", lambda hear, *heard: hear(*heard) and False)


@without("state: ask the same donor again")
def _ask_once(patch):
    patch.setattr(state, "ASK_AGAIN_S", math.inf)


@without("state: republish once per heartbeat at most", "frames stored again")
def _republish_often(patch):
    def change(next_action, self, now):
        self._next_republish = 0.0
        return next_action(self, now)

    around(patch, RecoveryState, "next_action", change)


@without("peers: a position whose heartbeat stands still is not alive")
def _immortal(patch):
    patch.setattr(peers, "LIVE_S", math.inf)


@without("act: store the state again that the channel refused", "seconds")
def _never_refused(patch):
    around(patch, Recovery, "_try_to_store", lambda store, *values: store(*values) or True)


@without("act: ignore a damaged position")
def _refuse_damaged_positions(patch):
    def change(read, value, key, **bounds):
        position = read(value, key, **bounds)
        if position is None:
            raise ImpossibleValue(key, "damaged")
        return position

    around(patch, recovery, "read_position", change)


@without("act: resume from a snapshot")
def _take_nothing(patch):
    nothing(patch, Recovery, "_take")


@without("act: ask again for a damaged snapshot", "seconds")
@without("act: ask again for a snapshot that is not whole", "seconds")
def _keep_asking(patch):
    nothing(patch, RecoveryState, "stop_asking")


@without("act: drop a snapshot that is no longer needed", "computations")
def _resume_anyway(patch):
    nothing(patch, RecoveryState, "resumes_before", answer=True)


@without("act: leave an outdated checkpoint")
def _keep_the_checkpoint(patch):
    nothing(patch, Exchange, "_is_outdated", answer=False)


@without("act: leave a run that the `over` key ends", "seconds of processes")
def _no_end_by_key(patch):
    def change(check_done, self, found, now):
        check_done(self, {key: value for key, value in found.items() if key != self.mailbox.keys.done}, now)

    around(patch, Recovery, "_check_done", change)


@without("act: leave a run whose results are stored")
def _no_end_by_results(patch):
    def change(check_done, self, found, now):
        self._is_done = lambda: False
        check_done(self, found, now)

    around(patch, Recovery, "_check_done", change)


@without("wait: a damaged frame counts as absent")
def _refuse_damaged_frames(patch):
    def change(_damaged, _self, error):
        raise error

    around(patch, PatientWait, "damaged", change)


@without("wait: a poll that fails is repeated")
def _poll_once(patch):
    def change(poll, self, *keys):
        found = poll(self, *keys)
        if self._failure is not None:
            raise self._failure
        return found

    around(patch, PatientWait, "poll", change)


@without("wait: read a frame in pieces from its beginning")
def _read_on(patch):
    nothing(patch, Incoming, "start_over")


@without("wait: a sign of life extends the deadline")
def _one_deadline(patch):
    nothing(patch, Recovery, "last_sign_of", answer=0.0)


@without("channel: try a failed operation again")
def _try_once(patch):
    patch.setattr(RetryingChannel, "_retry", failing(ChannelError("failed once")))


@without("private: resume with the private state in the cache", "times that all went back")
def _forget_private_states(patch):
    nothing(patch, PrivateState, "read")


@without("private: go back one round for the private state", "times that all went back")
def _stay_in_the_round(patch):
    patch.setattr(PrivateState, "fitting", lambda _self, snapshot: snapshot)


@without("back: send all ranks back for a lost private state")
@without("back: send them back when going back one round is in vain")
def _state_lost(patch):
    patch.setattr(Rollback, "begin", failing(StateLost("lost")))


@without("back: go back with the others")
def _stay_alone(patch):
    def change(follow, self, found, *when):
        newest = self._read(found)
        if newest is None or newest.number <= self._present.number:
            follow(self, found, *when)

    around(patch, Rollback, "follow", change)


@without("back: a late try enters the newest generation", "times that all went back")
def _find_nothing(patch):
    nothing(patch, Rollback, "find")


@without("back: store the marker again that the cache has lost")
def _store_the_marker_once(patch):
    def change(follow, self, *found):
        self._next_store = math.inf
        follow(self, *found)

    around(patch, Rollback, "follow", change)


@without("back: ignore a damaged marker")
def _refuse_damaged_markers(patch):
    def change(read, self, found):
        key = self._mailbox.keys.back
        newest = read(self, found)
        if newest is None and key in found:
            raise ImpossibleValue(key, "damaged")
        return newest

    around(patch, Rollback, "_read", change)


@without("checkpoint: all resume from the newest", "computations")
def _from_the_beginning(patch):
    nothing(patch, Exchange, "_newest", answer=0)


@without("checkpoint: private state from the checkpoint")
def _initial_private_states(patch):
    def change(resume_private, self, kind, initial):
        return initial() if self._snapshot is None else resume_private(self, kind, initial)

    around(patch, Exchange, "resume_private", change)


@without("start over: no checkpoint, and nobody to ask")
def _no_second_start(patch):
    def change(resume, self, *arguments):
        if self._snapshot is None and not self.started_from and self._mailbox.attempt > 1:
            raise StateLost("no second start")
        return resume(self, *arguments)

    around(patch, Exchange, "resume", change)


@without("end: the `over` key ends the stay", "seconds of processes")
def _stay_for_all(patch):
    def change(poll, self, keys, *buffers):
        found, done = poll(self, keys, *buffers), self._keys.done
        return {key: value for key, value in found.items() if key != done} if done in keys else found

    around(patch, PatientWait, "poll", change)
