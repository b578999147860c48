"""Zones of us-east-1 by their IDs, which mean the same zone in every account; Lambda is not offered in use1-az3.

https://docs.aws.amazon.com/global-infrastructure/latest/regions/az-ids.html
"""

ZONES = ("use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6")
# The zone of the emulated cache.
CACHE_ZONE = ZONES[0]
