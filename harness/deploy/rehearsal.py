"""The emulation that a rehearsal deploys into: the shared stack in containers, with a registry, moto playing S3 too.

Who deploys first starts it, and it stays up, as AWS does; who destroys stops it, unless somebody else had started it.
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
    """The stack that a rehearsal started, by its supervisor, and where its registry was."""

    pid: int
    started: int
    registry: str


@contextmanager
def rehearsal_for_deploy(settings: Settings, *, dry_run: bool, log: Log) -> Iterator[Target]:
    """The emulation, started when it is not up; for a dry run that is up it is used, else it ends with the block.

    Raises:
        HarnessError: The shared stack is up in another way, or it cannot start.
    """
    if dry_run and shared_stack(settings) is None:
        with start_private_stack(settings, s3="moto", mode="container", registry=True, log=log) as private:
            yield rehearsal_target(private)
        return
    stack, started = start_shared_stack(settings, s3="moto", mode="container", registry=True, log=log)
    if started:
        log("the emulation is up: harness status tells where it listens")
        before = _read(settings)
        if before is not None:
            forget_registry(settings.root, before.registry)
        records.save(_Started(stack.pid, stack.started, stack.endpoints.registry or ""), _file(settings))
    yield rehearsal_target(stack)


def standing_rehearsal(settings: Settings) -> Target | None:
    """The emulation that is up; None when there is none.

    Raises:
        HarnessError: The stack that is up is not one to deploy into.
    """
    stack = shared_stack(settings)
    if stack is None:
        return None
    if stack.endpoints.registry is None:
        raise HarnessError(
            "the stack that is up is none that a rehearsal deploys into",
            f"mode {stack.mode}, no registry",
            "run `harness down`, then `harness deploy --rehearse`",
        )
    return rehearsal_target(stack)


def stop_rehearsal(settings: Settings, target: Target, log: Log) -> None:
    """Stops the emulation when `harness deploy --rehearse` had started it."""
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
