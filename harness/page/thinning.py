"""Thin a view further, for a report that has to stay small."""

from itertools import zip_longest

import msgspec

from harness.insight.view import NOBODY, Attempt, Bucket, RunView


def half_as_fine(view: RunView) -> RunView:
    """Return the view with half as many buckets of rounds and half as many measurements of memory.

    Two buckets that follow each other become one; of two measurements the larger one stays.
    """
    ranks = [
        msgspec.structs.replace(rank, attempts=[_half_attempt(attempt) for attempt in rank.attempts])
        for rank in view.ranks
    ]
    return msgspec.structs.replace(view, ranks=ranks)


def _half_attempt(attempt: Attempt) -> Attempt:
    buckets, memory = attempt.buckets, attempt.memory
    return msgspec.structs.replace(
        attempt,
        buckets=[_merged(first, second) for first, second in zip_longest(buckets[::2], buckets[1::2])],
        memory=[
            max(first, second or first, key=lambda one: one[1])
            for first, second in zip_longest(memory[::2], memory[1::2])
        ],
    )


def _merged(first: Bucket, second: Bucket | None) -> Bucket:
    if second is None:
        return first
    longer = max((first, second), key=lambda bucket: (bucket.waited_for != NOBODY, bucket.wait_s))
    return Bucket(
        start=first.start,
        end=second.end,
        first_round=first.first_round,
        rounds=first.rounds + second.rounds,
        compute_s=first.compute_s + second.compute_s,
        wait_s=first.wait_s + second.wait_s,
        waited_for=longer.waited_for,
    )
