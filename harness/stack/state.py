"""The state of a running stack (addresses, processes) and the file through which other commands find it."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import HarnessError
from harness.system import records
from harness.system.cache_names import cache_names
from harness.system.private_files import write_private
from harness.system.process_life import CREDENTIALS, REGION, ProcessIdentity, identity_of, is_alive

S3Kind = Literal["localstack", "moto"]
Mode = Literal["process", "container"]


class Endpoints(msgspec.Struct, frozen=True):
    """The addresses of a stack's services.

    Attributes:
        s3: URL of S3.
        aws: URL of AWS's control plane (IAM, EC2, ECR, ElastiCache, ...).
        lambda_: URL of the Lambda service.
        memcached: `host:port` of the cache's first node.
        discovery: `host:port` of the configuration endpoint that lists the cache's nodes.
        cache_nodes: `host:port` of every Memcached, without a proxy before it, as seen from this machine; unknown to
            functions, which the configuration endpoint tells the addresses for them.
        faults: URL that accepts fault plans; None in a stack without faults.
        network: URL that reports on the emulated network; None in a stack without one.
        registry: `host:port` of the container registry; None in a stack without one. Only this machine's engine
            pushes and pulls; functions do not use it.
        access_key: The access key that every service accepts. It grants full access, so it is kept secret.
    """

    s3: str
    aws: str
    lambda_: str = msgspec.field(name="lambda")
    memcached: str
    discovery: str
    cache_nodes: tuple[str, ...] = ()
    faults: str | None = None
    network: str | None = None
    registry: str | None = None
    access_key: str = ""


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """One running stack.

    Attributes:
        pid: The supervisor's PID.
        started: The supervisor's start time, in clock ticks after boot.
        mode: The mode in which the stack runs.
        s3: The S3 implementation.
        directory: The stack's own folder, with logs and temporary data; removed when the stack stops.
        endpoints: Addresses of the services, as seen from this machine.
        functions_see: Addresses of the services, as seen by functions.
        processes: The PID of each child, by its name.
        containers: The ID of each container, by its name.
        network: The functions' network in container mode.
        seconds: How long each service took to become ready.
        code_sha256: Digest of the code that started the stack; empty if that is older than this field.
    """

    pid: int
    started: int
    mode: Mode = "process"
    s3: S3Kind
    directory: Path
    endpoints: Endpoints
    functions_see: Endpoints
    processes: dict[str, int] = {}
    containers: dict[str, str] = {}
    network: str = ""
    seconds: dict[str, float]
    code_sha256: str = ""

    @property
    def supervisor(self) -> ProcessIdentity:
        """The process that owns all the others."""
        return ProcessIdentity(self.pid, self.started)


def state_file(state_dir: Path) -> Path:
    """Return the path of the shared stack's state file."""
    return state_dir / "state.json"


def own_state_file(directory: Path) -> Path:
    """Return the path of the state file in the stack's own folder, for shared and private stacks alike."""
    return directory / "state.json"


def current_state(state: StackState) -> StackState:
    """Return the current state of a running stack; a part that was restarted has a new PID."""
    try:
        return load_state(own_state_file(state.directory)) or state
    except HarnessError:
        return state


def load_state(path: Path) -> StackState | None:
    """Read a state file; return None if it does not exist.

    Raises:
        HarnessError: The file exists but cannot be read as a state.
    """
    try:
        return records.decode(path.read_bytes(), StackState)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise HarnessError(f"cannot read the stack's state: {error}", str(path), "delete this file") from error
    except OSError as error:
        what = f"cannot read the stack's state: {error.strerror}"
        remedy = "remove what is in the file's place" if path.is_dir() else "run the command as the file's owner"
        raise HarnessError(what, str(path), remedy) from error


def dead_processes(state: StackState) -> list[str]:
    """Return the names of the processes that have ended; all of them if the supervisor has ended."""
    if not is_alive(state.supervisor):
        return list(state.processes)
    # The supervisor reaps its children at once, and no child can have started before it.
    identities = {name: identity_of(pid) for name, pid in state.processes.items()}
    return [name for name, identity in identities.items() if identity is None or identity.started < state.started]


def docker_flags(state: StackState) -> list[str]:
    """Return `docker run` flags that point a function's image to this stack, once it joins the functions' network.

    Raises:
        HarnessError: The stack runs in process mode; containers cannot reach its addresses.
    """
    if state.mode != "container":
        raise HarnessError(
            "the stack runs in process mode, and containers cannot reach it",
            remedy="run `harness down`, then `harness up --mode container`",
        )
    inside = msgspec.structs.replace(state, endpoints=state.functions_see)
    # A file, because every user of the machine can read a command line, and the key is secret.
    path = state.directory / "docker.env"
    write_private(path, "".join(f"{'='.join(item)}\n" for item in client_environment(inside).items()).encode())
    # Relative if that is shorter: in `$(...)` a shell would split an absolute path at its spaces.
    return ["--env-file", min(str(path), os.path.relpath(path), key=len)]


def addresses_of(state: StackState) -> dict[str, str]:
    """Return the address of each service on this machine, by the name of its process or its container."""
    ends = state.endpoints
    return {
        **dict(zip(cache_names(len(ends.cache_nodes)), ends.cache_nodes, strict=False)),
        "memcached": ends.memcached,
        "discovery": ends.discovery,
        "moto": ends.aws,
        "aws": ends.aws,
        "localstack": ends.s3,
        "s3": ends.s3,
        "gateway": ends.lambda_,
        "registry": ends.registry or "",
        "network": ends.network or ends.faults or "",
        "faults": ends.faults or "",
    }


def without_key(state: StackState) -> StackState:
    """Return the state without the access key, safe to print and store."""
    shown = {
        name: msgspec.structs.replace(getattr(state, name), access_key="") for name in ("endpoints", "functions_see")
    }
    return msgspec.structs.replace(state, **shown)


def client_environment(state: StackState) -> dict[str, str]:
    """Return the variables that make boto3 and the AWS CLI use this stack instead of AWS."""
    return {
        "AWS_ENDPOINT_URL": state.endpoints.aws,
        "AWS_ENDPOINT_URL_S3": state.endpoints.s3,
        "AWS_ENDPOINT_URL_LAMBDA": state.endpoints.lambda_,
        **CREDENTIALS,
        "AWS_ACCESS_KEY_ID": state.endpoints.access_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }
