"""The surface of the Lambda API: every operation and every input member of AWS's, and what the emulation does with it.

    built      the emulation acts on it
    shown      the emulation stores it and shows it, which is all that a caller sees on AWS
    refused    a request with it is answered by an error that names it

The service model decides what exists, so a new version of botocore adds rows that are refused.
"""

from dataclasses import dataclass
from typing import Literal

from harness.gateway.api.model import service_model
from harness.gateway.api.operations import OPERATIONS
from harness.gateway.api.taken import paths

State = Literal["built", "shown", "refused"]

# Members that change nothing here.
SHOWN: dict[str, set[str]] = {
    "CreateFunction": {"Description", "VpcConfig", "KMSKeyArn", "SnapStart"},
    "UpdateFunctionConfiguration": {"Description", "VpcConfig", "KMSKeyArn", "SnapStart"},
    "PublishVersion": {"Description"},
    "CreateCodeSigningConfig": {"Description", "AllowedPublishers", "AllowedPublishers.SigningProfileVersionArns"},
    "UpdateCodeSigningConfig": {"Description", "AllowedPublishers", "AllowedPublishers.SigningProfileVersionArns"},
    "PutRuntimeManagementConfig": {"UpdateRuntimeOn", "RuntimeVersionArn"},
    # Conditions that only services fulfil, of which none invokes functions here.
    "AddPermission": {"SourceArn", "SourceAccount", "EventSourceToken", "PrincipalOrgID"},
    "CreateAlias": {"Description"},
    "UpdateAlias": {"Description"},
}
# Members that an operation takes to refuse them in AWS's words.
_REFUSED: dict[str, set[str]] = {"CreateEventSourceMapping": {"StartingPosition", "DestinationConfig"}}
# Invoke has a route of its own (app.py).
INVOKE = {"FunctionName", "InvocationType", "LogType", "ClientContext", "Payload", "Qualifier"}


@dataclass(frozen=True, slots=True)
class MemberState:
    """What the emulation does with one input member.

    Attributes:
        operation: AWS's name of the operation.
        name: AWS's name of the member; of one in a structure, `A.B`.
        state: What becomes of it.
    """

    operation: str
    name: str
    state: State


def members() -> list[MemberState]:
    """Return every input member of every operation; of a structure that is refused as a whole, only itself."""
    model = service_model()
    rows = []
    for operation in model.operations.values():
        own = OPERATIONS.get(operation.name)
        kind = own.input if own is not None else None
        rows += [
            MemberState(operation.name, path, _state(operation.name, path, taken=taken))
            for path, taken in paths(kind, operation.input, model)
        ]
    return rows


def operations() -> dict[str, bool]:
    """Return whether the emulation has an operation, for each of AWS's."""
    return {name: name == "Invoke" or name in OPERATIONS for name in service_model().operations}


def _state(operation: str, member: str, *, taken: bool) -> State:
    if operation == "Invoke":
        return "built" if member in INVOKE else "refused"
    top = member.partition(".")[0]
    if not taken or top in _REFUSED.get(operation, ()):
        return "refused"
    return "shown" if {member, top} & SHOWN.get(operation, set()) else "built"
