"""How events are handled that were sent to a function, a version or an alias; each has its own settings.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from harness.gateway.attached import Attached
from harness.gateway.names import LATEST, Identifier
from harness.gateway.records import EventInvokeConfig


class EventInvokeConfigs(Attached[EventInvokeConfig]):
    """The settings of all functions; a function's own are those of `$LATEST`."""

    def __init__(self) -> None:
        super().__init__(default=LATEST)

    def of(self, identifier: Identifier) -> EventInvokeConfig:
        """Return the settings of a function, a version or an alias; AWS's defaults if none were put."""
        return self.get(identifier) or EventInvokeConfig()
