"""How long a run may take once nothing fails any more: a bound that follows from the constants of the code.

    all faults over                                                                                       the end
    | the channel answers | a dead try's lease | a wait is long | positions of the dead | every rank asks, | rounds
    |   `LONGEST_RETRY_S` |   `STANDS_STILL_S` |  `LONG_WAIT_S` |       `LIVE_S`        | is handed a state|
    |                                                                                   | and goes back    |

Events of dead ranks are delivered when the faults are over, so Lambda's delay is not in it; nor are stragglers.
"""

from tests.support.tiny_training import ROUNDS
from training.exchange.channel.retrying import LONGEST_RETRY_S
from training.exchange.recovery.lease import HEARTBEAT_S as LEASE_HEARTBEAT_S
from training.exchange.recovery.lease import STANDS_STILL_S
from training.exchange.recovery.patient_wait import LONG_WAIT_S
from training.exchange.recovery.peers import LISTEN_S, LIVE_S
from training.exchange.recovery.recovery import FIRST_QUESTION_GAP_S, LONGEST_QUESTION_GAP_S
from training.exchange.recovery.state import ASK_AGAIN_S, HEARTBEAT_S

# Round trips of up to a millisecond for all pieces of all frames, and a computation of one or two.
ROUND_S = 0.1


def bound_s(world_size, faulty_s):
    """Returns within how many seconds a run ends whose faults are over.

    Args:
        world_size: How many ranks there are.
        faulty_s: How long there were faults. Questions that a long wait asks S3 (whether the run is done, whether its
            checkpoint is outdated) come ever less often, so the next one is at most as far ahead as the first is back.
    """
    question_s = min(FIRST_QUESTION_GAP_S + faulty_s, LONGEST_QUESTION_GAP_S)
    returns_s = LONGEST_RETRY_S + LEASE_HEARTBEAT_S + STANDS_STILL_S + LONG_WAIT_S + LIVE_S
    one_resumes_s = HEARTBEAT_S + LISTEN_S + ASK_AGAIN_S
    return question_s + returns_s + world_size * one_resumes_s + (ROUNDS + 2) * ROUND_S
