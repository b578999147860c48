"""What is sent when an event has ended: its record to the configured destination, the event to a dead-letter queue.

destination        of the function, version or alias that was invoked (event invoke configuration)
dead-letter queue  of the version that ran (function configuration); both get a failed event if both are there
"""

import logging
from collections.abc import Callable

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError
from harness.gateway.events.destinations import Destinations, EndedEvent, record
from harness.gateway.events.targets import service_of
from harness.gateway.functions import FunctionStore
from harness.gateway.names import Identifier, parse_identifier
from harness.gateway.records import Function

logger = logging.getLogger(__name__)


class EventEnds:
    """Sends what follows the ends of events.

    Args:
        functions: The account's functions.
        destinations: Sends to other services.
        invoke: Accepts the record of an event as an event of the function that is its destination.
    """

    def __init__(
        self,
        functions: FunctionStore,
        destinations: Destinations,
        invoke: Callable[[Identifier, bytes, EndedEvent], None],
    ) -> None:
        self._functions = functions
        self._destinations = destinations
        self._invoke = invoke

    async def follow(self, identifier: Identifier, ended: EndedEvent) -> None:
        """Send what follows an event's end; failures to send are reported, never raised.

        Args:
            identifier: What was invoked.
            ended: The event.
        """
        succeeded = ended.condition == "Success"
        settings = self._functions.events.of(identifier)
        destination = settings.on_success if succeeded else settings.on_failure
        dead_letter = "" if succeeded else self._dead_letter_of(identifier, ended)
        try:
            if destination and service_of(destination) == "lambda":
                await self._send_to_function(destination, ended)
            elif destination:
                await self._destinations.send_record(destination, ended)
            if dead_letter:
                await self._destinations.send_dead_letter(dead_letter, ended)
        except Exception:
            # Whatever went wrong here, the event has ended, and whoever waits for its end must see it.
            logger.exception("what follows the end of event %s was lost", ended.request_id)

    def _dead_letter_of(self, identifier: Identifier, ended: EndedEvent) -> str:
        ran = Identifier(identifier.name, ended.version) if ended.answer is not None else identifier
        try:
            return self._functions.find(ran).dead_letter
        except LambdaApiError:
            # The function, or this version, was deleted meanwhile.
            return ""

    async def _send_to_function(self, arn: str, ended: EndedEvent) -> None:
        content = record(ended)
        why = ""
        try:
            target = parse_identifier(arn)
            function = self._functions.find(target)
            if not await self._destinations.may_send(arn, ended.function, ended.role):
                why = f"the role {ended.role} does not allow lambda:InvokeFunction"
            elif len(content) > limits.ASYNC_PAYLOAD_BYTES:
                why = f"an event has at most {limits.ASYNC_PAYLOAD_BYTES} bytes, and the record has {len(content)}"
            elif _goes_round(function, ended):
                why = f"Lambda has detected a recursive loop, and {function.name} does not allow one"
        except LambdaApiError as error:
            why = error.message
        if why:
            self._destinations.report(arn, ended, "DestinationDeliveryFailures", why)
        else:
            self._invoke(target, content, ended)


def _goes_round(function: Function, ended: EndedEvent) -> bool:
    chain = (*ended.lineage, ended.function)
    return not function.recursion_allowed and chain.count(function.name) >= limits.RECURSIVE_INVOCATIONS
