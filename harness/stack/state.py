"""What a running stack is: addresses, processes, and the file that tells other commands about it."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import HarnessError
from harness.system import records
from harness.system.private_files import write_private
from harness.system.process_life import CREDENTIALS, REGION, ProcessIdentity, identity_of, is_alive

S3Kind = Literal["localstack", "moto"]
Mode = Literal["process", "container"]


class Endpoints(msgspec.Struct, frozen=True):
    """Where the services listen.

    Attributes:
        s3: URL of S3.
        aws: URL of AWS's control plane (IAM, EC2, ECR, ElastiCache, ...).
        lambda_: URL of the Lambda service.
        memcached: `host:port` of the memcached node.
        discovery: `host:port` of the configuration endpoint that lists the node.
        faults: URL at which fault plans are taken; None in a stack without faults.
        registry: `host:port` of the container registry; None in a stack without one. It is the engine of this machine
            that pushes and pulls, so functions have no use for it.
        access_key: The access key that all of them know: who has it may do all, so that it is kept as a secret.
    """

    s3: str
    aws: str
    lambda_: str = msgspec.field(name="lambda")
    memcached: str
    discovery: str
    faults: str | None = None
    registry: str | None = None
    access_key: str = ""


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """One running stack.

    Attributes:
        pid: The supervisor's pid.
        started: The supervisor's start time, in clock ticks after boot.
        mode: How the stack runs.
        s3: What plays S3.
        directory: The stack's own folder: logs and temporary data, removed when it stops.
        endpoints: Where the services listen, as this machine sees them.
        functions_see: The same as functions see them.
        processes: The pid of each child, by its name.
        containers: The ID of each container, by its name.
        network: The functions' network in container mode.
        seconds: How long each child took until it answered.
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

    @property
    def supervisor(self) -> ProcessIdentity:
        """The process that owns everything else."""
        return ProcessIdentity(self.pid, self.started)


def state_file(state_dir: Path) -> Path:
    """Where the shared stack's state lies."""
    return state_dir / "state.json"


def own_state_file(directory: Path) -> Path:
    """Return where a stack, shared or private, keeps its state in its own folder."""
    return directory / "state.json"


def current_state(state: StackState) -> StackState:
    """Return a running stack's state as it is now: a part that was started again has another pid."""
    try:
        return load_state(own_state_file(state.directory)) or state
    except HarnessError:
        return state


def load_state(path: Path) -> StackState | None:
    """Reads the file; None when there is none.

    Raises:
        HarnessError: The file is there and holds something else.
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
    """The names of the processes that no longer run; all of them when the supervisor does not."""
    if not is_alive(state.supervisor):
        return list(state.processes)
    # The supervisor buries its dead at once, and a child cannot have started before it.
    identities = {name: identity_of(pid) for name, pid in state.processes.items()}
    return [name for name, identity in identities.items() if identity is None or identity.started < state.started]


def docker_flags(state: StackState) -> list[str]:
    """Flags for `docker run` with which a function's image finds this stack, once it is in the functions' network.

    Raises:
        HarnessError: The stack runs in process mode, on addresses that containers cannot reach.
    """
    if state.mode != "container":
        raise HarnessError(
            "the stack runs in process mode, where containers cannot reach it",
            remedy="run `harness down`, then `harness up --mode container`",
        )
    inside = msgspec.structs.replace(state, endpoints=state.functions_see)
    # In a file, as a command line with a key in it is for every user of the machine to read.
    path = state.directory / "docker.env"
    write_private(path, "".join(f"{'='.join(item)}\n" for item in client_environment(inside).items()).encode())
    # Relative where that is shorter: a shell splits what a command prints at the spaces of an absolute path.
    return ["--env-file", min(str(path), os.path.relpath(path), key=len)]


def without_key(state: StackState) -> StackState:
    """Return what may be printed and kept: the state without the access key."""
    shown = {
        name: msgspec.structs.replace(getattr(state, name), access_key="") for name in ("endpoints", "functions_see")
    }
    return msgspec.structs.replace(state, **shown)


def client_environment(state: StackState) -> dict[str, str]:
    """The variables with which boto3 and the AWS CLI talk to this stack instead of AWS."""
    return {
        "AWS_ENDPOINT_URL": state.endpoints.aws,
        "AWS_ENDPOINT_URL_S3": state.endpoints.s3,
        "AWS_ENDPOINT_URL_LAMBDA": state.endpoints.lambda_,
        **CREDENTIALS,
        "AWS_ACCESS_KEY_ID": state.endpoints.access_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }
