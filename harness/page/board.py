"""What the page knows: the stacks that are up, what happens on them, and the kept runs; and who is told when.

    folders of stacks --live_stacks--> a follower each --records, lines--> visitors
                                                     `--runs-----------> views, made when somebody asks
Nothing is asked of a stack while no browser is there, except for its feed.
"""

import asyncio
import time
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.history.folder import history_root
from harness.page.abandoned import AbandonedRuns
from harness.page.follower import StackFollower
from harness.page.kept import ListedRun, RunLine, is_kept, line_of_job, listed_runs, with_differences
from harness.page.live_runs import LiveRun, PageLine
from harness.page.stacks import StackView, is_private, live_stacks, view_of_stack
from harness.page.visitors import Visitors
from harness.settings import Settings
from harness.stack import dead_parts
from harness.stack.state import current_state

if TYPE_CHECKING:
    from pathlib import Path

    from harness.page.gateway import FunctionEntry

LOOK_EVERY_S = 1.0
TELL_EVERY_S = 0.25
# The state is looked at so often, and sooner after a change of its functions or stacks.
STATE_EVERY_S = 1.0
# What is asked of the stack's gateway at most so often; lists of functions and dead containers change rarely.
LIST_EVERY_S = 10.0
# How often environments are counted after an invocation has changed: they become idle a little later.
COUNTS_AFTER_CHANGE = 2
MOST_LINES = 5_000
# Lines that a new visitor gets.
FIRST_LINES = 500
MOST_GONE = 4


class FunctionView(msgspec.Struct, frozen=True):
    """A function of the stack.

    Attributes:
        name: Its name.
        version: The version that is shown.
        memory_mb: Its memory size.
        timeout_s: Its time limit.
        environments: How many there are by state: `cold`, `busy`, `idle`.
    """

    name: str
    version: str
    memory_mb: int
    timeout_s: int
    environments: dict[str, int]


class PageState(msgspec.Struct, frozen=True):
    """What `GET /api/state` returns.

    Attributes:
        project: The name of the project's folder.
        stack: The stack that is shown: the shared one, else the newest private one; None if none is up.
        functions: Its functions.
        runs: The runs under way and the kept ones, the newest first.
    """

    project: str
    stack: StackView | None
    functions: list[FunctionView]
    runs: list[RunLine]


class PageBoard:
    """Everything that the page shows.

    Attributes:
        visitors: The browsers.
        followers: The followers of the stacks that are up, by the stack's folder, the one that is shown first.
        lines: The newest lines of all functions.

    Args:
        settings: The project's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.visitors = Visitors()
        self.followers: dict[Path, StackFollower] = {}
        self.lines: deque[PageLine] = deque(maxlen=MOST_LINES)
        self.root = history_root(settings)
        self._settings = settings
        self._gone: deque[StackFollower] = deque(maxlen=MOST_GONE)
        self._following: dict[Path, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._serials: dict[Path, int] = {}
        self._functions: list[FunctionEntry] = []
        self._counts: dict[str, Counter[str]] = {}
        self._dead_containers: list[str] = []
        self._listed_at = self._counted_at = 0.0
        self._counts_left = 0
        self._state, self._state_due = b"", 0.0
        self._kept: set[str] = set()
        self._abandoned = AbandonedRuns(settings)

    @property
    def shown(self) -> StackFollower | None:
        """Return the follower of the stack that is shown; None if none is up."""
        return next(iter(self.followers.values()), None)

    async def keep_watch(self) -> None:
        """Follow every stack that comes up, for as long as it is there."""
        try:
            while True:
                self._look()
                self.live_runs()  # which drops what was seen of those that are kept by now
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            tasks = [*self._following.values(), *self._ending]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def keep_telling(self) -> None:
        """Tell the browsers what has changed of the state and of runs."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if not self.visitors:
                continue
            live = self.live_runs()
            self._abandoned.keep(run.run_id for run in live if not run.in_progress)
            for run in live:
                if run.is_due():
                    for visitor in self.visitors:
                        visitor.put_run(run.run_id)
            if time.monotonic() < self._state_due:
                continue
            self._state_due = time.monotonic() + STATE_EVERY_S
            state = msgspec.json.encode(await self.state())
            if state != self._state:
                self._state = state
                for visitor in self.visitors:
                    visitor.put_state(state)

    async def state(self) -> PageState:
        """Return what is shown on top of everything else."""
        shown = self.shown
        stack = None
        if shown is not None:
            await self._ask(shown)
            private = is_private(self._settings.state_dir, shown.stack)
            stack = view_of_stack(shown.stack, private=private, dead_containers=self._dead_containers)
        functions = [
            FunctionView(
                one.function_name,
                one.version,
                one.memory_size,
                one.timeout,
                {state: self._counts.get(one.function_name, Counter())[state] for state in ("cold", "busy", "idle")},
            )
            for one in (self._functions if shown is not None else [])
        ]
        for run in self.live_runs():
            # Its view tells how it has ended.
            if not run.in_progress and run.unseen:
                await self.refresh(run)
                await run.view()
        return PageState(self._settings.root.name, stack, functions, self._run_lines())

    def live_runs(self) -> list[LiveRun]:
        """Return the runs that were followed and are not kept yet, the newest first."""
        followers = [*self.followers.values(), *self._gone]
        runs = [run for follower in followers for run in follower.runs.runs.values()]
        return sorted((run for run in runs if not self._is_final(run)), key=lambda run: -run.started_at)

    def live_run(self, run_id: str) -> LiveRun | None:
        """Return a run that was followed and is not kept yet; None if there is none of this name."""
        return next((run for run in self.live_runs() if run.run_id == run_id), None)

    async def refresh(self, run: LiveRun) -> None:
        """Read what is new in a run's folder."""
        for follower in self.followers.values():
            if run in follower.runs.runs.values():
                await follower.refresh(run)

    def records(self) -> list[InvocationRecord]:
        """Return the invocations of all stacks that were followed, without payloads, the oldest first."""
        followers = [*self._gone, *self.followers.values()]
        return sorted(
            (record for follower in followers for record in follower.records.values()),
            key=lambda record: (record.queued_at, record.number),
        )

    def take_invocations(self, records: list[InvocationRecord]) -> None:
        """Pass on records that have changed."""
        self._counts_left = COUNTS_AFTER_CHANGE
        for visitor in self.visitors:
            visitor.put_invocations(records)

    def take_lines(self, lines: list[PageLine]) -> None:
        """Pass on lines of logs."""
        self.lines.extend(lines)
        for visitor in self.visitors:
            visitor.put_lines(lines)

    def code_changed(self) -> None:
        """Ask for the functions anew."""
        self._listed_at = self._state_due = 0.0

    def _look(self) -> None:
        found = {stack.directory: stack for stack in live_stacks(self._settings.state_dir)}
        for directory, task in list(self._following.items()):
            if directory not in found:
                task.cancel()
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                del self._following[directory]
                self._gone.append(self.followers.pop(directory))
                self._functions, self._counts, self._state_due = [], {}, 0.0
                self._counts_left = COUNTS_AFTER_CHANGE
        for directory, stack in found.items():
            if directory not in self._following:
                # One that comes back, because only its file was away, has its numbers again.
                serial = self._serials.setdefault(directory, len(self._serials))
                for same in [one for one in self._gone if one.stack.directory == directory]:
                    self._gone.remove(same)
                follower = self.followers[directory] = StackFollower(stack, serial, self)
                self._following[directory] = asyncio.create_task(follower.follow())
                self.code_changed()
        self.followers = {directory: self.followers[directory] for directory in found}

    async def _ask(self, shown: StackFollower) -> None:
        """Ask the gateway for its functions and environments, if that is due."""
        now = time.monotonic()
        with suppress(HarnessError):
            if now - self._listed_at > LIST_EVERY_S:
                self._listed_at = now
                self._functions = await shown.gateway.functions()
                if shown.stack.containers:
                    state = current_state(shown.stack)
                    self._dead_containers = await asyncio.to_thread(dead_parts, state)
            if self._counts_left or now - self._counted_at > LIST_EVERY_S:
                self._counted_at, self._counts_left = now, max(0, self._counts_left - 1)
                counts: dict[str, Counter[str]] = {}
                for one in await shown.gateway.environments():
                    counts.setdefault(one.function, Counter())[one.state] += 1
                self._counts = counts
                if any(one["cold"] for one in counts.values()):
                    self._counts_left = COUNTS_AFTER_CHANGE

    def _run_lines(self) -> list[RunLine]:
        live = [_listed_live(run) for run in self.live_runs()]
        names = {run.line.run_id for run in live}
        with suppress(HarnessError):
            live += [run for run in listed_runs(self.root) if run.line.run_id not in names]
        return with_differences(sorted(live, key=lambda run: -run.line.started_at))

    def _is_final(self, run: LiveRun) -> bool:
        if run.run_id not in self._kept and not run.in_progress and is_kept(self.root, run.run_id):
            self._kept.add(run.run_id)
            run.forget()
            # Its view comes from its kept records from now on.
            for visitor in self.visitors:
                visitor.put_run(run.run_id)
        return run.run_id in self._kept


def _listed_live(run: LiveRun) -> ListedRun:
    view = run.last
    job = (view.job if view is not None else {}) or run.job
    line = RunLine(run_id=run.run_id, status="running", started_at=run.started_at, seconds=0.0)
    line = line_of_job(line, job)
    if view is not None:
        loss = view.epochs[-1].loss if view.epochs else view.batches[-1].loss if view.batches else None
        line = msgspec.structs.replace(line, status=view.status, seconds=view.seconds, loss=loss)
    if line.status == "running" and run.over:
        line = msgspec.structs.replace(line, status="unfinished")
    elif line.status == "running":
        line = msgspec.structs.replace(line, seconds=float(int(time.time() - run.started_at)))
    return ListedRun(line, job)
