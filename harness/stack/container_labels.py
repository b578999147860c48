"""A stack's containers, networks and volumes by their labels: which have ended, and the removal of all of them.

Everything that belongs to a stack, including the functions' containers that the gateway starts, carries a label
with the stack's folder, by which clean-up finds it.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from harness.errors import HarnessError
from harness.stack.folders import owner_of
from harness.stack.state import StackState
from harness.system.engine import EngineUnavailable, connect, translated
from harness.system.probes import wait_until
from harness.system.process_life import is_alive

logger = logging.getLogger(__name__)

PROJECT_LABEL = "lambda-harness.project"
STACK_LABEL = "lambda-harness.stack"
NAME_LABEL = "lambda-harness.service"

REMOVED_WITHIN_S = 30.0

# Lists are `sparse`: docker-py inspects what it lists otherwise, and fails when a container goes in between.


def dead_containers(state: StackState) -> list[str]:
    """Return the names of the stack's containers that have ended."""
    client = connect()
    with translated("the stack's containers cannot be listed"):
        label = f"{STACK_LABEL}={state.directory}"
        running = {container.id for container in client.containers.list(filters={"label": label}, sparse=True)}
    return [name for name, id_ in state.containers.items() if id_ not in running]


def remove_stack(client: docker.DockerClient, directory: Path) -> None:
    """Remove the containers, networks and volumes of the stack in that folder.

    Raises:
        HarnessError: Some of them could not be removed.
    """
    _remove(client, f"{STACK_LABEL}={directory}")


def remove_stacks_of_the_dead(root: Path) -> None:
    """Remove the leftovers of this project's stacks whose owner was killed; do nothing without an engine."""
    try:
        client = connect()
    except EngineUnavailable:
        return
    with translated("the stacks' containers cannot be listed"):
        ours = {"all": True, "filters": {"label": f"{PROJECT_LABEL}={root}"}}
        found = [*client.containers.list(sparse=True, **ours), *client.networks.list(filters=ours["filters"])]
    folders = {Path(_labels_of(thing)[STACK_LABEL]) for thing in found}
    for folder in folders:
        owner = owner_of(folder)
        if owner is None or not is_alive(owner):
            logger.info("removing the containers of a killed stack, %s", folder)
            remove_stack(client, folder)


def _remove(client: docker.DockerClient, label: str) -> None:
    filters = {"label": label}

    def none_is_left() -> bool:
        # The gateway may start another container before it is removed, so one pass may not find all.
        containers = client.containers.list(all=True, filters=filters, sparse=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_remove_container, containers))
        return not containers

    with translated("the stack's containers cannot be removed"):
        if not wait_until(none_is_left, REMOVED_WITHIN_S):
            raise HarnessError(f"containers with the label {label} are still there after {REMOVED_WITHIN_S:g} s")
        for network in client.networks.list(filters=filters):
            with _ignoring_absence():
                network.remove()
        for volume in client.volumes.list(filters=filters):
            with _ignoring_absence():
                volume.remove(force=True)


def _remove_container(container: Container) -> None:
    with _ignoring_absence():
        container.remove(force=True, v=True)


@contextmanager
def _ignoring_absence() -> Iterator[None]:
    """Ignore that a resource is already gone, because another process may clean up at the same time."""
    try:
        yield
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if "already in progress" not in str(error):
            raise


def _labels_of(thing: Any) -> dict[str, str]:  # noqa: ANN401 - docker-py's containers and networks, as listed
    labels: dict[str, str] = thing.attrs["Labels"]
    return labels
