"""The state of recovery: what a rank hears goes in, actions come out; no channel, no clock."""

import msgspec

from training.exchange.held import HeldFrames
from training.exchange.keys import Place
from training.exchange.recovery.rules import NOBODY, HandOver, KeepPolling, Phase, Position, Publish, Republish
from training.exchange.recovery.state import ASK_AGAIN_S, HEARTBEAT_S, RecoveryState

PLACE = Place(7, 0)


def waiting(phase=Phase.TRAINING):
    """Rank 0 of two, in round 7."""
    state = RecoveryState(0, "token", 1, [1])
    state.begin_round(7, phase)
    return state


def observed(state, now, **fields):
    """What rank 0 writes after a poll that found rank 1's position, if any."""
    positions = {1: Position(1, "other", **{"round": 7, **fields})} if fields else {}
    return state.observe(positions, PLACE, [1], HeldFrames(), now)


def heard(state, now, **fields):
    """Let rank 0 hear that rank 1 lives: its heartbeat moves."""
    for beat in (1, 2):
        observed(state, now, heartbeat=beat, **fields)


def test_a_position_is_written_on_a_change_and_with_every_heartbeat():
    """At once when the wait becomes long, then every `HEARTBEAT_S`; its counter grows each time."""
    state = waiting()

    first, second = observed(state, 1.0), observed(state, 1.0 + HEARTBEAT_S)

    assert isinstance(first, Publish)
    assert ((1,), 7, 1) == (first.position.missing, first.position.round, first.position.heartbeat)
    assert Publish(msgspec.structs.replace(first.position, heartbeat=2)) == second
    assert isinstance(observed(state, 1.1 + HEARTBEAT_S), KeepPolling)


def test_news_is_answered_at_once():
    """A rank that comes back need not wait for the next heartbeat."""
    state = waiting()
    observed(state, 1.0)

    assert isinstance(observed(state, 1.01, heartbeat=1), Publish)
    assert isinstance(observed(state, 1.02, heartbeat=2), KeepPolling)


def test_a_position_whose_heartbeat_does_not_move_is_ignored():
    """It may be of a rank that died long ago."""
    state = waiting()
    observed(state, 1.0, heartbeat=5, asks=0, question=1)

    assert KeepPolling() == state.next_action(1.0)


def test_a_question_is_answered_until_the_answer_is_stored():
    """The executor says when it is; a refused store is tried again."""
    state = waiting()
    heard(state, 1.0, phase=Phase.NEW, asks=0, question=1)

    action = state.next_action(1.0)

    assert isinstance(action, HandOver)
    assert action == state.next_action(1.01)
    state.answered(action.to)
    assert KeepPolling() == state.next_action(1.02)


def test_a_new_rank_asks_and_repeats_its_question():
    """Once, then after `ASK_AGAIN_S` with another number."""
    state = waiting(Phase.NEW)
    heard(state, 1.0)

    asked = state.next_action(1.0)

    assert (1, 1) == (asked.position.asks, asked.position.question)
    assert KeepPolling() == state.next_action(1.5)
    heard(state, 1.1 + ASK_AGAIN_S)
    assert 2 == state.next_action(1.1 + ASK_AGAIN_S).position.question
    state.stop_asking()
    assert NOBODY == state.own.asks


def test_frames_are_republished_once_a_heartbeat():
    """A rank that misses them repeats that with every poll."""
    state = waiting()
    heard(state, 1.0, missing=(0,))

    assert Republish((1,)) == state.next_action(1.0)
    assert KeepPolling() == state.next_action(1.1)
    assert Republish((1,)) == state.next_action(1.0 + HEARTBEAT_S)


def test_a_training_rank_resumes_only_from_another_round():
    """Its donor may have moved on: a state of this rank's own round is of no use to it, a new rank takes any."""
    assert not waiting().resumes_before(7)
    assert waiting().resumes_before(8)
    assert waiting(Phase.NEW).resumes_before(7)
