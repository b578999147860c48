"""The services that a run needs (Memcached, S3, AWS's control plane, Lambda): started, probed and stopped."""

from harness.stack.control import (
    dead_parts,
    shared_stack,
    stack_for_run,
    start_private_stack,
    start_shared_stack,
    stop_shared_stack,
)
from harness.stack.state import Endpoints, StackState, client_environment, docker_flags, without_key
from harness.system.rie import fetch_rie, rie_path

__all__ = [
    "Endpoints",
    "StackState",
    "client_environment",
    "dead_parts",
    "docker_flags",
    "fetch_rie",
    "rie_path",
    "shared_stack",
    "stack_for_run",
    "start_private_stack",
    "start_shared_stack",
    "stop_shared_stack",
    "without_key",
]
