"""All emulated resource types."""

from harness.emulation.resources import account, cache, network, storage
from harness.emulation.resources.base import Handler

TYPES: dict[str, Handler] = {**network.HANDLERS, **storage.HANDLERS, **account.HANDLERS, **cache.HANDLERS}
