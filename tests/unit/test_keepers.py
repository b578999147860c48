"""Background tasks of long-running services: one failure ends none of them."""

import asyncio
import os

from harness.faults.board import Board
from harness.gateway import __main__ as gateway_process
from harness.gateway.layer_store import LayerStore
from harness.gateway.packages import CodeFolders
from harness.network import faults
from harness.network.cache_nodes import CacheNodes
from harness.system.process_identity import ProcessIdentity


def failing_once(calls, done):
    """A call that fails for the first time, as a full disk or a lost connection makes it."""

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("no space")
        done()

    return call


def test_code_is_removed_after_a_removal_that_failed(tmp_path, caplog):
    """The failure is in the log, and the next change removes what is left."""

    async def run():
        code, calls, done = CodeFolders(tmp_path), [], asyncio.Event()
        loop = asyncio.get_running_loop()

        class Functions:
            """The store, as the task sees it."""

            remove_unneeded_code = staticmethod(failing_once(calls, lambda: loop.call_soon_threadsafe(done.set)))

        task = asyncio.create_task(gateway_process.remove_unneeded(code, Functions(), LayerStore(tmp_path / "layers")))
        async with asyncio.timeout(10):
            code.unneeded.set()
            while not calls:  # noqa: ASYNC110 - a thread sets no event
                await asyncio.sleep(0.001)
            while code.unneeded.is_set():  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.001)
            code.unneeded.set()
            await done.wait()
        task.cancel()

    asyncio.run(run())

    assert "no space" in caplog.text


def test_plans_of_orphans_are_lifted_after_one_that_was_not(monkeypatch, caplog):
    """The next run's plan does not stay in force for ever."""
    monkeypatch.setattr(faults, "ORPHANS_EVERY_S", 0.001)

    async def run():
        board, calls, done = Board(), [], asyncio.Event()
        lift = failing_once(calls, done.set)

        class Gateway:
            """The link, as the task sees it."""

            @staticmethod
            async def lift(run_id):
                """Fails once."""
                lift(run_id)

        board.owners.update({name: ProcessIdentity(os.getpid(), 0) for name in ("one", "two")})
        task = asyncio.create_task(faults.FaultPlans(board, Gateway(), CacheNodes([])).lift_orphans())
        async with asyncio.timeout(10):
            await done.wait()
        task.cancel()
        return calls

    assert [("one",), ("two",)] == asyncio.run(run())
    assert "no space" in caplog.text
