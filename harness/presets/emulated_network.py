"""What `harness run --network` emulates: a preset's figures, where the functions are, and the seed of what is drawn."""

from typing import Annotated

import msgspec

from harness.presets.distribution import Value
from harness.presets.zones import ZONES

# The variable of the network's process and of the gateway that holds an `EmulatedNetwork` as JSON.
NETWORK_VARIABLE = "HARNESS_NETWORK"


class EmulatedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """The network between functions, cache and S3, and the starts of functions, in place of this machine's.

    Attributes:
        preset: The name of the preset.
        figures: The preset's values by name, with the user's own.
        seed: The seed of all draws.
        zones: The number of zones that functions are in; the cache is in the first of `ZONES`.
    """

    preset: str
    figures: dict[str, Value]
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    zones: Annotated[int, msgspec.Meta(ge=1, le=len(ZONES))] = 1
