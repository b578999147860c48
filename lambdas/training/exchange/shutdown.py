"""The shutdown barrier: ranks that have stored their results stay while another may need their frames or state."""

import logging

import numpy as np

from training.errors import ChannelError, DuplicateDelivery, RanksMissing, RunAborted
from training.exchange.backoff import AdaptiveBackoff
from training.exchange.keys import Place
from training.exchange.mailbox import Mailbox
from training.exchange.waiting import WaitPolicy

logger = logging.getLogger(__name__)


def shutdown_barrier(mailbox: Mailbox, policy: WaitPolicy, round_number: int, timeout_s: float) -> None:
    """Block until all ranks have signed off, or one reports that they have.

    Best effort: a missing sign-off is harmless.

    Args:
        mailbox: This rank's mailbox.
        policy: How it waits.
        round_number: The round after the last.
        timeout_s: How long to stay at most.
    """
    place, done = Place(round_number, 0), mailbox.keys.done
    missing = {mailbox.keys.frame(place, rank): rank for rank in mailbox.others}
    wait = policy.wait(place, timeout_s, AdaptiveBackoff(mailbox.world_size).delays())
    try:
        policy.store(mailbox.outgoing(place, np.zeros(0, np.float32), 0, 0))
        while missing:
            found = wait.poll([*missing, done])
            missing = {} if done in found else {key: rank for key, rank in missing.items() if key not in found}
            if missing:
                wait.pause(missing.values(), progress=False)
        wait.finish()
        mailbox.channel.put_many({done: b"1"})
    except (ChannelError, RanksMissing, RunAborted, DuplicateDelivery) as error:
        logger.info("left before all ranks had signed off: %s", error)
