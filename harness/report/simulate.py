"""One all-reduce of many ranks in virtual time, run by the code that runs on AWS."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.report.network import Network
from harness.report.simulated_store import SimulatedChannel, SimulatedStore, Traffic
from harness.report.virtual_time import VirtualTime
from training.exchange.clock import Clock
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery

# Larger payloads are simulated by shorter ones, each byte of which represents several.
LARGEST_PAYLOAD_BYTES = 20_000
# Longer than any simulation.
PATIENCE_S = 1e6


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated all-reduce.

    Attributes:
        seconds: The time from the start of the round, at once on all ranks, until the last rank has the total.
        traffic: The traffic to and from the store during this time.
    """

    seconds: float
    traffic: Traffic


def simulate(
    collective: str,
    world_size: int,
    part_bytes: int,
    network: Network,
    *,
    recovery: bool = False,
    earlier_rounds: int = 1,
) -> Simulated:
    """Time one all-reduce early in a run, including the removal of an earlier round's frames.

    Args:
        collective: A name of `training.exchange.collectives.registry.REGISTRY`.
        world_size: The number of ranks.
        part_bytes: The size of one rank's part in bytes.
        network: The constants.
        recovery: Whether to include the recovery layer.
        earlier_rounds: The number of earlier rounds; from the eighth round, waits use an adapted back-off.

    Raises:
        RuntimeError: The ranks have different totals.
    """
    elements = max(1, min(part_bytes, max(LARGEST_PAYLOAD_BYTES, 4 * world_size)) // 4)
    time = VirtualTime()
    store = SimulatedStore(time, network, part_bytes / (4 * elements))
    oversleep_s = network.oversleep_s
    clock = Clock(lambda: time.now, lambda seconds: time.sleep(seconds + oversleep_s if seconds else 0.0))
    part = np.linspace(-1e3, 1e3, elements, dtype=np.float32)
    exchanges = [
        exchange_of(SimulatedChannel(store), rank, world_size, collective, clock, recovery=recovery)
        for rank in range(world_size)
    ]
    totals: set[bytes] = set()

    def rank_main(exchange: Exchange, number: int) -> None:
        exchange.begin_round(number)
        total = exchange.all_reduce(part * np.float32(exchange.rank + 1), 1)
        totals.add(total.values.tobytes())

    for number in range(1, earlier_rounds + 1):
        time.run([partial(rank_main, exchange, number) for exchange in exchanges])
        totals.clear()
    started, store.traffic = time.now, Traffic()
    # The third round removes the first one's frames; there are none of a second one.
    time.run([partial(rank_main, exchange, earlier_rounds + 2) for exchange in exchanges])
    if len(totals) != 1:
        raise RuntimeError(f"{collective} gave {len(totals)} different totals to {world_size} ranks")
    return Simulated(time.now - started, store.traffic)


def exchange_of(
    channel: SimulatedChannel, rank: int, world_size: int, collective: str, clock: Clock, *, recovery: bool = False
) -> Exchange:
    """Return one rank's exchange over the simulated store."""
    mailbox = Mailbox(channel, run_id="simulated", rank=rank, world_size=world_size, clock=clock)
    return Exchange(
        mailbox,
        collective,
        join_timeout_s=PATIENCE_S,
        round_timeout_s=PATIENCE_S,
        recovery=Recovery(mailbox, token=f"{rank}.1") if recovery else None,
    )
