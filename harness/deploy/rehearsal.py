"""The emulated AWS that a rehearsal deploys to: the shared stack in containers, with a registry, and moto as S3.

The first deployment starts the stack, which then stays up, as AWS does; destroying the deployment stops it, unless
another command had started it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.deploy.images import forget_registry
from harness.deploy.target import Target, rehearsal_target
from harness.errors import HarnessError
from harness.settings import Settings
from harness.stack import shared_stack, start_private_stack, start_shared_stack, stop_shared_stack
from harness.system import records

Log = Callable[[str], None]

_FILE = "rehearsal.json"


class _Started(msgspec.Struct, frozen=True):
    """The stack that a rehearsal started: its supervisor, and the address of its registry."""

    pid: int
    started: int
    registry: str


@contextmanager
def rehearsal_for_deploy(settings: Settings, *, dry_run: bool, log: Log) -> Iterator[Target]:
    """Yield the emulation, and start it if necessary; one that a dry run starts ends with the block.

    Raises:
        HarnessError: The shared stack is up without a registry or in another mode, or cannot start.
    """
    if dry_run and shared_stack(settings) is None:
        with start_private_stack(settings, s3="moto", mode="container", registry=True, log=log) as private:
            yield rehearsal_target(private)
        return
    stack, started = start_shared_stack(settings, s3="moto", mode="container", registry=True, log=log)
    if started:
        log("the emulation is up: harness status prints its addresses")
        before = _read(settings)
        if before is not None:
            forget_registry(settings.root, before.registry)
        records.save(_Started(stack.pid, stack.started, stack.endpoints.registry or ""), _file(settings))
    yield rehearsal_target(stack)


def standing_rehearsal(settings: Settings) -> Target | None:
    """Return the emulation that is up, or None.

    Raises:
        HarnessError: The stack that is up has no registry.
    """
    stack = shared_stack(settings)
    if stack is None:
        return None
    if stack.endpoints.registry is None:
        raise HarnessError(
            "the stack that is up cannot be used for a rehearsal",
            f"mode {stack.mode}, no registry",
            "run `harness down`, then `harness deploy --rehearse`",
        )
    return rehearsal_target(stack)


def stop_rehearsal(settings: Settings, target: Target, log: Log) -> None:
    """Stop the emulation if `harness deploy --rehearse` started it."""
    stack, ours = target.stack, _read(settings)
    if stack is None or ours is None or (ours.pid, ours.started) != (stack.pid, stack.started):
        return
    log("stopping the emulation")
    stop_shared_stack(settings)
    forget_registry(settings.root, ours.registry)
    _file(settings).unlink(missing_ok=True)


def _read(settings: Settings) -> _Started | None:
    try:
        return records.decode(_file(settings).read_bytes(), _Started)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _file(settings: Settings) -> Path:
    return settings.state_dir / _FILE
