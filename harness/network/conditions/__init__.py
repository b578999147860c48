"""The conditions of an emulated network, by the clock: draws, token buckets, and which function a connection is of.

Nothing here waits. Each method takes the time and returns when something may pass; the proxies wait until then.
"""

from harness.network.conditions.buckets import SharedCable, TokenBucket
from harness.network.conditions.draws import Draws
from harness.network.conditions.function_network import FunctionNetwork
from harness.network.conditions.network import NetworkOfFunctions
from harness.network.conditions.tally import Tally

__all__ = ["Draws", "FunctionNetwork", "NetworkOfFunctions", "SharedCable", "Tally", "TokenBucket"]
