"""Event source mappings: queues of SQS whose messages the Lambda service fetches and hands to functions in batches.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

import msgspec

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError
from harness.gateway.functions import FunctionStore
from harness.gateway.invocations import Invocation, Invoker
from harness.gateway.mappings.patterns import parse_pattern
from harness.gateway.mappings.queues import Message, Queues
from harness.gateway.mappings.sqs_events import event_of, failed_in, is_wanted
from harness.gateway.names import Identifier

logger = logging.getLogger(__name__)

# Messages that one request fetches.
_MOST_RECEIVED = 10
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html - AWS begins with five batches at once.
_BATCHES_AT_ONCE = 5
# An empty queue is asked again after delays that double.
_SHORTEST_DELAY_S, _LONGEST_DELAY_S = 0.02, 1.0


class EventSourceMapping(msgspec.Struct, frozen=True):
    """One mapping.

    Attributes:
        id: Its UUID.
        queue: ARN of the queue.
        target: The function, version or alias that gets the messages.
        batch_size: The most messages of a batch.
        window_s: How long a batch may wait for more messages.
        reports_items: Whether the function's answer names the messages that failed.
        enabled: Whether messages are fetched.
        most_at_once: The most batches that run at once; None for AWS's own number.
        modified: When it was last changed.
        tags: Its tags.
        patterns: The patterns of its filters, as they were given; none of them lets every message through.
    """

    id: str
    queue: str
    target: Identifier
    batch_size: int
    window_s: int
    reports_items: bool
    enabled: bool
    most_at_once: int | None
    modified: datetime
    tags: dict[str, str]
    patterns: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        """Return its ARN."""
        return f"arn:aws:lambda:{limits.REGION}:{limits.ACCOUNT_ID}:event-source-mapping:{self.id}"

    @property
    def batches_at_once(self) -> int:
        """Return how many batches may run at once; those of a FIFO queue keep their order."""
        return 1 if self.queue.endswith(".fifo") else self.most_at_once or _BATCHES_AT_ONCE


class Mappings:
    """The account's mappings; each that is enabled has a task that fetches messages.

    Args:
        functions: The functions that get the messages.
        invoker: Runs them.
        queues: The queues.
    """

    def __init__(self, functions: FunctionStore, invoker: Invoker, queues: Queues) -> None:
        self._functions, self._invoker, self.queues = functions, invoker, queues
        self._mappings: dict[str, EventSourceMapping] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def all(self) -> list[EventSourceMapping]:
        """Return all mappings."""
        return list(self._mappings.values())

    def get(self, mapping_id: str) -> EventSourceMapping | None:
        """Return a mapping by its UUID."""
        return self._mappings.get(mapping_id)

    def put(self, mapping: EventSourceMapping) -> None:
        """Store a mapping; batches that have begun end as the mapping was before."""
        self._mappings[mapping.id] = mapping
        if mapping.enabled:
            self._keep(self._fetch(mapping))

    def remove(self, mapping_id: str) -> None:
        """Remove a mapping; batches that have begun end."""
        self._mappings.pop(mapping_id, None)

    async def clear(self) -> None:
        """Remove all mappings, and end their batches."""
        self._mappings.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fetch(self, mapping: EventSourceMapping) -> None:
        """Fetch messages until the mapping is changed or removed; a queue or function that is gone may come back."""
        room, delay_s, told = asyncio.Semaphore(mapping.batches_at_once), _SHORTEST_DELAY_S, ""
        while self._mappings.get(mapping.id) is mapping:
            await room.acquire()
            try:
                batch = await self._batch(mapping)
            except (OSError, TimeoutError, LambdaApiError) as error:
                if str(error) != told:
                    told = str(error)
                    logger.warning("no messages of %s: %s", mapping.queue, error)
                batch = []
            if not batch:
                room.release()
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
                continue
            delay_s = _SHORTEST_DELAY_S
            self._keep(self._hand_over(mapping, batch)).add_done_callback(lambda _: room.release())

    async def _batch(self, mapping: EventSourceMapping) -> list[Message]:
        """Return the messages of the next batch: those that are there, or come within the mapping's window."""
        # Messages that nobody can take stay in the queue.
        self._functions.find(mapping.target)
        # By id: a message that becomes visible again within the window has a new receipt.
        batch: dict[str, Message] = {}
        patterns = [parse_pattern(pattern) for pattern in mapping.patterns]
        end = asyncio.get_running_loop().time() + mapping.window_s
        while self._mappings.get(mapping.id) is mapping:
            wanted = min(mapping.batch_size - len(batch), _MOST_RECEIVED)
            received = await self.queues.receive(mapping.queue, wanted)
            kept = [message for message in received if is_wanted(message, mapping.queue, patterns)]
            if len(kept) < len(received):
                await self.queues.delete(mapping.queue, [message for message in received if message not in kept])
            batch |= {message.id: message for message in kept}
            left_s = end - asyncio.get_running_loop().time()
            if not batch or len(batch) >= mapping.batch_size or left_s <= 0:
                break
            await asyncio.sleep(min(left_s, _LONGEST_DELAY_S / 10))
        return list(batch.values())

    async def _hand_over(self, mapping: EventSourceMapping, batch: list[Message]) -> None:
        """Invoke the function with a batch, and delete the messages that it handled; the others come back later."""
        event = event_of(batch, mapping.queue, windowed=mapping.window_s > 0)
        try:
            answer = (await self._invoker.run(Invocation(mapping.target, event))).answer
            if answer.error is not None:
                return
            failed = failed_in(answer.payload, batch) if mapping.reports_items else set()
            handled = [message for message in batch if message.id not in failed]
            if handled:
                await self.queues.delete(mapping.queue, handled)
        except LambdaApiError as error:
            logger.warning("a batch of %s was not handled by %s: %s", mapping.queue, mapping.target.name, error)
        except (OSError, TimeoutError):
            logger.exception("handled messages of %s could not be deleted", mapping.queue)


def new_id() -> str:
    """Return the UUID of a new mapping."""
    return str(uuid.uuid4())
