"""Profile the hottest path: one rank's round over a real memcached that already holds its peer's frames.

The rank never waits, so the profile shows only its own work: `python -m benchmarks.profile_round`.
docs/performance.md shows the output before and after changes.
"""

import cProfile
import pstats
import sys
import time
from contextlib import closing

import numpy as np

from harness.settings import load_settings
from harness.stack import start_private_stack
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.exchange import Exchange
from training.exchange.keys import Place
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery

WARM_UP, TIMED, PROFILED = 500, 2500, 1000
PATIENCE_S = 60
FLOATS = 29
LINES = 16


def main() -> None:
    """Print the time of a round, its calls, and a profile."""
    with start_private_stack(load_settings(), s3="moto") as stack:
        host, port = stack.endpoints.memcached.split(":")
        with closing(MemcachedChannel(host, int(port))) as channel:
            _profile(channel)


def _profile(channel: MemcachedChannel) -> None:
    peer = Mailbox(channel, run_id="profile", rank=1, world_size=2)
    part = np.ones(FLOATS, np.float32)
    channel.put_many(peer.outgoing(Place(0, 0), np.zeros(1), 1, 0))
    for number in range(1, WARM_UP + TIMED + PROFILED + 1):
        channel.put_many(peer.outgoing(Place(number, 0), part, 1, 0))
    own = Mailbox(channel, run_id="profile", rank=0, world_size=2)
    recovery = Recovery(own, token=str(own.rank))
    exchange = Exchange(own, "all_gather", join_timeout_s=PATIENCE_S, round_timeout_s=PATIENCE_S, recovery=recovery)
    exchange.start()
    exchange.agree("peer", np.zeros(1), 1)
    numbers = iter(range(1, WARM_UP + TIMED + PROFILED + 1))

    def rounds(count: int) -> None:
        for _ in range(count):
            exchange.begin_round(next(numbers), None)
            exchange.all_reduce_update(part, 1)

    rounds(WARM_UP)
    wall, processor = time.perf_counter(), time.process_time()
    rounds(TIMED)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    sys.stdout.write(f"a round: {1e6 * wall / TIMED:.1f} us, of them processor {1e6 * processor / TIMED:.1f} us\n")
    profile = cProfile.Profile()
    profile.runcall(rounds, PROFILED)
    pstats.Stats(profile, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(LINES)


if __name__ == "__main__":
    main()
