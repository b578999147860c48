"""Several ranks in one process: a thread each over one in-memory channel."""

from concurrent.futures import ThreadPoolExecutor

from harness.report.virtual_time import VirtualTime
from training.exchange.clock import Clock
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery


def exchange_of(
    channel, rank, world_size, sync_mode, *, run_id="run", timeout_s=20.0, recovery=None, clock=None, **options
):
    """One rank's exchange; `recovery` holds what it is made with, a token among it."""
    mailbox = Mailbox(channel, run_id=run_id, rank=rank, world_size=world_size, clock=clock or Clock())
    options["recovery"] = Recovery(mailbox, **recovery) if recovery else None
    return Exchange(mailbox, sync_mode, join_timeout_s=timeout_s, round_timeout_s=timeout_s, **options)


def on_all_ranks(world_size, function):
    """Calls `function(rank)` on all ranks at once; returns the answers by rank, or raises the first error."""
    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(function, range(world_size)))


def in_virtual_time(world_size, function):
    """Calls `function(rank, clock)` on all ranks in turns; returns the answers by rank, or raises the first error.

    A wait costs no time, and the ranks meet in the same order each time.
    """
    time, answers = VirtualTime(), {}

    def main_of(rank):
        def main():
            answers[rank] = function(rank, time.clock)

        return main

    time.run([main_of(rank) for rank in range(world_size)])
    return [answers[rank] for rank in range(world_size)]
