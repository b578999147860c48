"""One stack, followed by the page: its invocations, its lines and its runs, from the feed of its gateway.

The feed gives what happens from now on. What was before is asked for once: the kept invocations, and the logs of runs
that are under way, so that a page opened late shows them from their beginning.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from contextlib import aclosing
from typing import Protocol

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.clients import Clients, clients_for
from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.gateway.feed import FeedCode, FeedLines, FeedRecord, FeedSkipped
from harness.page.gateway import PageGateway
from harness.page.live_runs import LiveRun, LiveRuns, PageLine, event_of_run
from harness.runs.declared import COORDINATOR
from harness.runs.log_tail import GROUP_PREFIX, LogTail
from harness.runs.run_log import RunLog
from harness.stack.state import StackState
from harness.system.process_life import is_alive
from training.errors import TrainingError
from training.run.results import RunFolder

logger = logging.getLogger(__name__)

# The numbers of the invocations of a page's second stack begin here, those of its third one at twice as many.
NUMBERS = 1_000_000_000
MOST_RECORDS = 2_000
AGAIN_AFTER_S = 1.0


class News(Protocol):
    """Whoever hears what happens on a stack."""

    def take_invocations(self, records: list[InvocationRecord]) -> None:
        """Take records whose state has changed."""

    def take_lines(self, lines: list[PageLine]) -> None:
        """Take lines of logs."""

    def code_changed(self) -> None:
        """Hear that a function is new, or has other code."""


class StackFollower:
    """Follows a stack until it ends.

    Attributes:
        records: The newest records of invocations, by the page's numbers.
        runs: Its runs.

    Args:
        stack: The stack.
        serial: Counts the stacks that this page has followed, from 0.
        news: Hears what happens.
    """

    def __init__(self, stack: StackState, serial: int, news: News) -> None:
        self.stack, self._serial, self._news = stack, serial, news
        self.gateway = PageGateway(stack)
        self.records: dict[int, InvocationRecord] = {}
        self.runs = LiveRuns()
        self._clients: Clients | None = None
        self._asked: set[str] = set()
        self._listening_since = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Follow the stack until its supervisor has ended; connect again if its gateway goes away before."""
        try:
            while is_alive(self.stack.supervisor):
                try:
                    await self._listen()
                except HarnessError as error:
                    logger.info("%s", error)
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.runs.end()
            await self.gateway.close()

    def number_in_gateway(self, number: int) -> int | None:
        """Return the gateway's number of an invocation; None if it is another stack's."""
        serial, own = divmod(number, NUMBERS)
        return own if serial == self._serial else None

    async def refresh(self, run: LiveRun) -> None:
        """Read what is new in a run's folder, if something may be."""
        if not run.bucket or not run.stale_folder or run.over:
            return
        run.stale_folder = False
        try:
            found = await asyncio.to_thread(self._read, run)
        except (BotoCoreError, ClientError, TrainingError) as error:
            logger.info("run %s: %s", run.run_id, error)
            return
        for name, content in found:
            run.add_object(name, content)
            if name == "invoked.json":
                self._claim_workers(run, content)

    async def _listen(self) -> None:
        async with aclosing(self.gateway.feed()) as records:
            async for record in records:
                if record is None:
                    self._listening_since = time.time()
                    self._begin_task(self._catch_up())
                else:
                    self._take(record)

    def _take(self, record: FeedRecord) -> None:
        match record:
            case InvocationRecord():
                self._take_invocation(record)
            case FeedLines():
                self._take_lines(
                    PageLine(record.at, record.function, record.request_id, None, None, text.replace("\r", "\n"))
                    for text in record.text.removesuffix("\n").split("\n")
                )
            case FeedCode():
                self._news.code_changed()
            case FeedSkipped():
                # Ends may be among what was missed; lines are lost to the page.
                logger.warning("%d records of the gateway's feed were missed", record.count)
                self._begin_task(self._catch_up())

    def _take_invocation(self, record: InvocationRecord) -> None:
        record.number += self._serial * NUMBERS
        self.records[record.number] = record
        if len(self.records) > MOST_RECORDS:
            ended = next((number for number, one in self.records.items() if one.ended), next(iter(self.records)))
            del self.records[ended]
        run = self.runs.add_invocation(record)
        self._news.take_invocations([record])
        if record.function == COORDINATOR and run is None:
            self._ask(record)
        elif record.function == COORDINATOR and record.ended and run is not None:
            self._begin_task(self.refresh(run))  # it has invoked the workers

    def _take_lines(self, lines: Iterable[PageLine]) -> None:
        taken = list(lines)
        for line in taken:
            run = self.runs.add_line(line)
            if run is not None and not run.bucket:
                record = next((one for one in run.records.values() if one.request_id == line.request_id), None)
                if record is not None:
                    self._ask(record)
        self._news.take_lines(taken)

    def _ask(self, record: InvocationRecord) -> None:
        """Ask for the event of an invocation that belongs to a run, once: it names the run and its bucket."""
        if record.request_id not in self._asked:
            self._asked.add(record.request_id)
            self._begin_task(self._identify(record))

    async def _identify(self, record: InvocationRecord) -> LiveRun | None:
        number = self.number_in_gateway(record.number)
        whole = await self.gateway.invocation(number) if number is not None else None
        event = event_of_run(whole.payload) if whole is not None else {}
        run_id, bucket = (
            event.get("run_id") or record.request_id,
            event.get("result_bucket") or event.get("data_bucket"),
        )
        if not (isinstance(run_id, str) and isinstance(bucket, str)):
            return None
        if record.function != COORDINATOR:
            if (run := self.runs.runs.get(run_id)) is not None:
                run.bucket, run.stale_folder = run.bucket or bucket, True
            return run
        return self.runs.begin(run_id, record.queued_at, record.request_id, bucket, event)

    async def _catch_up(self) -> None:
        """Take what happened before the feed was there: the kept invocations, and the log of each run under way."""
        for record in await self.gateway.invocations():
            known = self.records.get(record.number + self._serial * NUMBERS)
            if known is None or not known.ended:
                self._take_invocation(record)
        starts = [one for one in self.records.values() if one.function == COORDINATOR]
        self._asked.update(record.request_id for record in starts)
        for record in starts:
            run = await self._identify(record)
            if run is None or run.caught_up:
                continue
            run.caught_up = run.stale_folder = True
            await self.refresh(run)
            if run.in_progress:
                self._take_lines(await asyncio.to_thread(self._earlier_lines, run))

    def _claim_workers(self, run: LiveRun, content: bytes) -> None:
        try:
            invoked = msgspec.json.decode(content, type=dict[str, list[str]])
        except msgspec.MsgspecError:
            return
        for rank, request_id in enumerate(invoked.get("requests", [])):
            self.runs.claim(run, request_id, rank)

    def _read(self, run: LiveRun) -> list[tuple[str, bytes]]:
        folder = RunFolder(self._own_clients().s3, run.bucket, run.run_id)
        contents = ((name, folder.read(name)) for name in run.unread(folder.names("")))
        return [(name, content) for name, content in contents if content is not None]

    def _earlier_lines(self, run: LiveRun) -> list[PageLine]:
        log, since_ms = RunLog(), int(1000 * run.started_at)
        for function in {record.function for record in run.records.values()}:
            for line in LogTail(self._own_clients().logs, GROUP_PREFIX + function, since_ms).events():
                log.add(function, line)
        requests = [*run.ranks, *log.requests_of(run.run_id)]
        return [
            PageLine(one.at, one.function, one.request_id, None, None, one.text)
            for one in log.lines(requests)
            if one.at < self._listening_since
        ]

    def _own_clients(self) -> Clients:
        if self._clients is None:
            self._clients = clients_for(self.stack.endpoints)
        return self._clients

    def _begin_task(self, work: Coroutine[object, object, object]) -> None:
        async def guarded() -> None:
            try:
                await work
            except (HarnessError, BotoCoreError, ClientError, TrainingError) as error:
                logger.info("%s", error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
