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
from harness.presets.emulated_network import EmulatedNetwork
from harness.settings import Settings
from harness.stack import shared_stack, start_private_stack, start_shared_stack, stop_shared_stack
from harness.stack.state import StackState
from harness.system import records

Log = Callable[[str], None]

_FILE = "rehearsal.json"
# Of the template's parameter CacheNodes; a test compares the two.
DEFAULT_CACHE_NODES = 1


class _Started(msgspec.Struct, frozen=True):
    """The stack that a rehearsal started: its supervisor, the address of its registry, and the network it emulates."""

    pid: int
    started: int
    registry: str
    network: EmulatedNetwork | None = None


@contextmanager
def rehearsal_for_deploy(
    settings: Settings,
    *,
    dry_run: bool,
    log: Log,
    network: EmulatedNetwork | None = None,
    cache_nodes: int | None = None,
) -> Iterator[Target]:
    """Yield the emulation, and start it if necessary; one that a dry run starts ends with the block.

    Args:
        settings: The project's settings.
        dry_run: Whether nothing may be left.
        log: Called with progress messages.
        network: The network to emulate between functions, cache and S3; None for that of the emulation that is up, or
            this machine's own.
        cache_nodes: The number of the cache's nodes; None for that of the emulation that is up, or the template's
            default.

    Raises:
        HarnessError: The shared stack is up without a registry, in another mode, with another network or another
            number of nodes, or it cannot start.
    """
    nodes = msgspec.structs.replace(settings.stack, cache_nodes=cache_nodes or DEFAULT_CACHE_NODES)
    settings = msgspec.structs.replace(settings, stack=nodes)
    if network is not None:
        gateway = msgspec.structs.replace(settings.gateway, zones=network.zones)
        settings = msgspec.structs.replace(settings, gateway=gateway)
    if dry_run and shared_stack(settings) is None:
        with start_private_stack(
            settings, s3="moto", mode="container", network=network, registry=True, log=log
        ) as private:
            yield rehearsal_target(private)
        return
    stack, started = start_shared_stack(settings, s3="moto", mode="container", network=network, registry=True, log=log)
    if not started and network is not None:
        _check_network(settings, stack, network)
    if not dry_run and cache_nodes is not None:
        check_nodes(stack, cache_nodes)
    if started:
        log("the emulation is up: harness status prints its addresses")
        before = _read(settings)
        if before is not None:
            forget_registry(settings.root, before.registry)
        records.save(_Started(stack.pid, stack.started, stack.endpoints.registry or "", network), _file(settings))
    yield rehearsal_target(stack)


def check_nodes(stack: StackState, cache_nodes: int) -> None:
    """Check that the emulation that is up has so many nodes of the cache: it cannot be given more.

    Raises:
        HarnessError: It has another number.
    """
    found = len(stack.endpoints.cache_nodes)
    if found != cache_nodes:
        raise HarnessError(
            f"the emulation is up with {found} node{'s' if found > 1 else ''} of the cache",
            f"--parameter CacheNodes={cache_nodes}",
            "run `harness destroy --rehearse --empty` first, or deploy without the parameter",
        )


def _check_network(settings: Settings, stack: StackState, network: EmulatedNetwork) -> None:
    """Check that the emulation that is up has this network: it cannot be changed under a deployment.

    Raises:
        HarnessError: It has another one, or none.
    """
    before = _read(settings)
    ours = before is not None and (before.pid, before.started) == (stack.pid, stack.started)
    if before is None or not ours or before.network != network:
        emulated = before.network if before is not None and ours else None
        raise HarnessError(
            f"the emulation is up with {f'another network ({emulated.preset})' if emulated else 'no emulated network'}",
            f"--network {network.preset}",
            "run `harness destroy --rehearse --empty` first, or deploy without --network",
        )


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
