"""All types of resources that are emulated."""

from harness.stack.moto_plugin.resources import account, cache, network, storage
from harness.stack.moto_plugin.resources.base import Handler

TYPES: dict[str, Handler] = {**network.HANDLERS, **storage.HANDLERS, **account.HANDLERS, **cache.HANDLERS}
