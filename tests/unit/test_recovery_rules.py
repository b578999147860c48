"""The rules of recovery, one by one: where ranks stand, and what this rank does then."""

import pytest

from training.exchange.recovery.rules import HandOver, KeepPolling, Phase, Position, Republish, TakeSnapshot, decide


def standing(rank, round_number=7, phase=Phase.TRAINING, **fields):
    """A rank that waits in a round and holds that round and the one before."""
    holds_from = max(0, round_number - 1) if phase != Phase.NEW else 0
    fields = {"holds_from": holds_from, **fields}
    return Position(rank, f"token-{rank}", phase=phase, round=round_number, **fields)


def new(rank, **fields):
    """A rank that has just come back."""
    return standing(rank, 0, Phase.NEW, **fields)


RULES = {
    "alone it waits": (standing(0), [], KeepPolling()),
    "peers that wait for somebody else are left alone": (standing(0), [standing(1, missing=(2,))], KeepPolling()),
    "who misses its frames gets them again": (standing(0), [standing(1, missing=(0, 2))], Republish((1,))),
    "all who miss them get them at once": (
        standing(0),
        [standing(1, missing=(0,)), standing(2, 6, missing=(0,))],
        Republish((1, 2)),
    ),
    "a new rank's frames of round 0 too": (new(0), [new(1, missing=(0,))], Republish((1,))),
    "new ranks among themselves join as at the start": (new(0), [new(1), new(2)], KeepPolling()),
    "a new rank goes on from one that trains": (new(0), [standing(1), new(2)], TakeSnapshot(1)),
    "from the one furthest behind": (new(0), [standing(1, 8), standing(2, 7)], TakeSnapshot(2)),
    "the lowest rank on a tie": (new(0), [standing(3), standing(1), standing(2, 8)], TakeSnapshot(1)),
    "from one that has finished when no other trains": (new(0), [standing(1, 9, Phase.FINISHED)], TakeSnapshot(1)),
    "from one that trains rather than one that has finished": (
        new(0),
        [standing(1, 9, Phase.FINISHED), standing(2, 8)],
        TakeSnapshot(2),
    ),
    "a rank goes back for one whose round it has not computed": (
        standing(0, 8, holds_from=8, began_at=8),
        [standing(1, 7, missing=(0,))],
        TakeSnapshot(1),
    ),
    "it goes back for one that does not miss it yet, too": (
        standing(0, 8, holds_from=8, began_at=8),
        [standing(1)],
        TakeSnapshot(1),
    ),
    "it does not go back for one that was left behind": (standing(0, 9), [standing(1, 7)], KeepPolling()),
    "nor when only another one has let go of that round": (
        standing(0, 9, holds_from=9, began_at=9),
        [standing(1, 7), standing(2, 9, holds_from=8)],
        KeepPolling(),
    ),
    "who was left behind goes on from the others": (standing(0, 7), [standing(1, 10), standing(2, 9)], TakeSnapshot(2)),
    "not from others that were left behind": (standing(0, 7), [standing(1, 10), standing(2, 6)], TakeSnapshot(1)),
    "it does not go back for what it holds": (standing(0, 8), [standing(1, 7, missing=(2,))], KeepPolling()),
    "it does not go back for a new one": (
        standing(0, 8, holds_from=8, began_at=8),
        [new(1, missing=(0,))],
        KeepPolling(),
    ),
    "who asks for its state gets it": (standing(0), [new(1, asks=0)], HandOver(new(1, asks=0))),
    "before anything else": (
        standing(0, 8, holds_from=8, began_at=8),
        [standing(1, 7, missing=(0,)), new(2, asks=0)],
        HandOver(new(2, asks=0)),
    ),
    "who asks another does not": (standing(0), [new(1, asks=2)], KeepPolling()),
    "a new rank has no state to give": (new(0), [new(1, asks=0, missing=(0,))], Republish((1,))),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule(rule):
    """Each rule, as its name says."""
    own, others, action = RULES[rule]

    assert action == decide(own, others)


def test_a_question_is_answered_once():
    """The same question of the same try gets one answer; a new question gets another."""
    asking = new(1, asks=0, question=3)

    assert KeepPolling() == decide(standing(0), [asking], answered={("token-1", 3)})
    assert HandOver(asking) == decide(standing(0), [asking], answered={("token-1", 2)})


def test_a_new_rank_listens_before_it_chooses():
    """While somebody further behind may still speak up, nobody is asked."""
    assert KeepPolling() == decide(new(0), [standing(1)], settled=False)
