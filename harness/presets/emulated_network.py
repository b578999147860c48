"""What `harness run --network` emulates: a preset's figures, where the functions are, and the seed of what is drawn."""

from typing import Annotated

import msgspec

from harness.presets.distribution import Value

# Zones by their IDs, which are the same zone in every account. Lambda is not offered in use1-az3.
# https://docs.aws.amazon.com/global-infrastructure/latest/regions/az-ids.html
ZONES = ("use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6")
CACHE_ZONE = ZONES[0]


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
