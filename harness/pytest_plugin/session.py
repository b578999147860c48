"""The stack of a session: started for this process, stopped at the session's end or by the process's death."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal, cast

import msgspec
import pytest

from harness.errors import HarnessError
from harness.pytest_plugin.hooks import Hooks
from harness.pytest_plugin.lambda_stack import LambdaStack
from harness.settings import PortSettings, Settings, load_settings
from harness.stack import start_private_stack
from harness.stack.plan import Log
from harness.stack.state import Mode

HOOKS = "lambda_harness_hooks"


@contextmanager
def stack_of_session(config: pytest.Config, mode: Mode | None) -> Iterator[LambdaStack]:
    """Start a stack for the block.

    Args:
        config: pytest's configuration; the project is found from its root folder.
        mode: How the stack runs; None for the command line's choice.
    """
    if mode == "container":
        _skip_without_engine()
    mode = mode or cast("Literal['process', 'container']", config.getoption("lambda_mode"))
    if threading.current_thread() is not threading.main_thread():
        pytest.fail("lambda_stack needs the main thread: the kernel ends the stack together with it", pytrace=False)
    problem = ""
    try:
        settings = _for_tests(load_settings(config.rootpath))
        start = start_private_stack(settings, s3="moto", mode=mode, every_service=True, log=_progress(config))
        hooks = _hooks(config)
        with start as state, LambdaStack(state, settings, hooks.check_scope) as stack:
            hooks.stacks.append(stack)
            try:
                yield stack
            finally:
                hooks.stacks.remove(stack)
    except HarnessError as error:
        problem = str(error)
    # Outside of the block above, or pytest would print the error, and then the failure made of it.
    if problem:
        pytest.fail(problem, pytrace=False)


def _skip_without_engine() -> None:
    """Skip a test that is marked for containers where there is no engine."""
    # The engine's client takes a tenth of a second to import, and most tests do without it.
    from harness.system.engine import EngineUnavailable, connect  # noqa: PLC0415

    try:
        connect().close()
    except EngineUnavailable as error:
        pytest.skip(f"lambda_container: {error.what}")


def _for_tests(settings: Settings) -> Settings:
    """Return the settings without fixed ports: each worker of xdist has a stack, beside one that may be up."""
    return msgspec.structs.replace(settings, stack=msgspec.structs.replace(settings.stack, ports=PortSettings()))


def _progress(config: pytest.Config) -> Log:
    """Return a function that shows what takes long, such as the first download of a program."""
    capture = config.pluginmanager.get_plugin("capturemanager")

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"\nlambda_stack: {line}\n")

    return show


def _hooks(config: pytest.Config) -> Hooks:
    """Return the hooks, which are registered as soon as there is a stack, so that other runs do not pay for them."""
    manager = config.pluginmanager
    if not manager.has_plugin(HOOKS):
        manager.register(Hooks(), HOOKS)
    return cast("Hooks", manager.get_plugin(HOOKS))
