"""The development loop: the feed of the gateway, saves and keys, each in a task of its own, until one of them ends it.

gateway --feed--> lines, ends of invocations ---> screen
saves ----------> functions built and updated --> screen
keys -----------> invocations again, the end
"""

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from pathlib import Path

from harness.develop import keyboard
from harness.develop.building import BuildResult, ProjectBuilder
from harness.develop.gateway_client import GatewayClient
from harness.develop.keyboard import Keyboard
from harness.develop.replay import LISTED, Edit, Replay
from harness.develop.screen import Screen
from harness.develop.threads import in_thread
from harness.develop.watching import saves
from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.gateway.feed import FeedCode, FeedLines, FeedSkipped
from harness.runs.health import check_parts
from harness.stack import StackState
from harness.system.probes import wait_until

KEYS = "r: invoke the last event again, l: list the last invocations, 1-9: edit the event of one and invoke, q: quit"
# A stack that is stopped in order takes its folder along, soon after its gateway.
_STOPPED_WITHIN_S = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DevelopmentLoop:
    """Keeps functions up to date with their files, and shows what they do.

    Args:
        stack: The stack.
        builder: Builds the functions.
        screen: Prints everything.
        keys: The terminal's keyboard.
        edit: Opens an editor.
    """

    def __init__(self, stack: StackState, builder: ProjectBuilder, screen: Screen, keys: Keyboard, edit: Edit) -> None:
        self._stack, self._builder, self._screen, self._keyboard = stack, builder, screen, keys
        self._gateway = GatewayClient(stack)
        self._replay = Replay(self._gateway, screen, keys, edit)
        self._listening = asyncio.Event()
        self._feed_ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[signal.Signals | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> signal.Signals | None:
        """Run until the user quits or a signal arrives; return the signal.

        Raises:
            HarnessError: The stack has ended, or folders cannot be watched.
        """
        loop = asyncio.get_running_loop()
        # A signal that is ignored stays so, as under `nohup`.
        signals = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in signals:
            loop.add_signal_handler(number, self._stop, number)
        try:
            for work in (self._show_feed(), self._keep_built(), self._answer_keys()):
                self._begin(work)
            return await self._ended
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(HarnessError):
                await self._say_what_stays()
            await self._gateway.close()
            for number in signals:
                loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals | None) -> None:
        # In an editor, Ctrl-C is the editor's.
        if not self._ended.done() and not (number == signal.SIGINT and self._replay.editing):
            self._ended.set_result(number)

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        """Start a task; its error ends the loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)

    async def _show_feed(self) -> None:
        async with aclosing(self._gateway.feed()) as records:
            async for record in records:
                match record:
                    case None:
                        self._listening.set()
                    case FeedLines(function=function, text=text):
                        self._screen.function_lines(function, text)
                    # A failed attempt is reported once more when it is known whether another one follows.
                    case InvocationRecord(state="succeeded" | "failed", due_at=None):
                        self._screen.invocation(record)
                    case FeedCode(function=function, sha256=sha256):
                        if self._builder.is_foreign(function, sha256):
                            self._screen.function_note(function, "updated: code, by another command")
                    case FeedSkipped(count=count):
                        self._screen.note(f"{count} lines were skipped here; `harness logs` has all of them")
        self._feed_ended = True
        stopped = await in_thread(lambda: wait_until(lambda: not self._stack.directory.exists(), _STOPPED_WITHIN_S))
        if not stopped:
            await in_thread(lambda: check_parts(self._stack))
        raise HarnessError("the stack was stopped", remedy="run `harness dev` again: it starts one")

    async def _keep_built(self) -> None:
        await self._listening.wait()
        started = False
        async with aclosing(saves(self._builder.folders, self._builder.settings_file)) as changes:
            async for changed in changes:
                if started:
                    await self._build(changed)
                    continue
                # Saves are noticed from here on, so that none is lost while the functions are made.
                started = True
                await self._build(None)
                watched = sorted(map(self._short, self._builder.folders()))
                self._screen.note(f"watching {', '.join(watched) or 'harness.toml'}")
                self._screen.note(KEYS if self._keyboard.present else "Ctrl-C ends this")

    async def _build(self, changed: set[Path] | None) -> None:
        """Build all functions, or those that a save concerns, and print what became of each."""
        saved_at = max(map(_modified, changed)) if changed else 0.0
        results = self._builder.build_all() if changed is None else self._builder.build_changed(changed)
        while (built := await in_thread(lambda: next(results, None))) is not None:
            self._print(built, saved_at)

    def _print(self, built: BuildResult, saved_at: float) -> None:
        if built.problem:
            self._screen.problem(built.problem, built.function)
        elif built.changes:
            what = "created" if "created" in built.changes else f"updated: {', '.join(built.changes)}"
            since = time.time() - saved_at
            # A file that was moved here has its old time.
            took = f", {since:.2f} s after the save" if 0 < since < 60 else ""
            self._screen.function_note(built.function, what + took)

    async def _answer_keys(self) -> None:
        with self._keyboard.reading():
            while True:
                key = await self._keyboard.key()
                try:
                    await self._answer(key)
                except HarnessError as error:
                    self._screen.problem(str(error).splitlines())

    async def _answer(self, key: str) -> None:
        match key:
            case "q" | "Q" | keyboard.END_OF_INPUT:
                self._stop(None)
            case "r":
                # It may take long, and keys are answered meanwhile.
                self._begin(self._replay.invoke_last())
            case "l":
                await self._replay.list_last()
            case digit if digit.isascii() and digit.isdigit() and 1 <= int(digit) <= LISTED:
                if (edited := await self._replay.edit(int(digit))) is not None:
                    self._begin(self._replay.invoke(*edited))
            case "\n" | "\r":
                self._screen.note("")
            case _:
                self._screen.note(KEYS)

    async def _say_what_stays(self) -> None:
        if self._feed_ended:  # the gateway has ended, and the error says why
            return
        running = await self._gateway.running()
        if running:
            self._screen.note(f"in progress, and going on: {running} invocation{'s' if running > 1 else ''}")
        self._screen.note("the stack stays up, with its functions; `harness down` stops it")

    def _short(self, path: Path) -> str:
        root = self._builder.settings.root
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
