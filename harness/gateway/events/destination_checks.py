"""AWS's checks of destinations and dead-letter queues when they are configured, in AWS's words where these are known.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError, invalid_parameter
from harness.gateway.events.destinations import Destinations
from harness.gateway.events.targets import permission_for, service_of
from harness.gateway.functions import FunctionStore
from harness.gateway.names import parse_identifier
from harness.gateway.records import Function

_ON_SUCCESS = frozenset({"sqs", "sns", "lambda", "events"})
_ON_FAILURE = _ON_SUCCESS | {"s3"}
_DEAD_LETTER = {"sqs": "SendMessage on SQS", "sns": "Publish on SNS"}


async def check_destinations(
    destinations: Destinations,
    functions: FunctionStore,
    function: Function,
    on_success: str | None,
    on_failure: str | None,
) -> None:
    """Refuse destinations to which nothing could be sent.

    Args:
        destinations: Knows what exists.
        functions: The account's functions.
        function: The function whose events end there.
        on_success: ARN of the destination for events that succeeded, if there is one.
        on_failure: ARN of the destination for events that finally failed, if there is one.

    Raises:
        LambdaApiError: A destination is of a kind that Lambda sends nothing to, is not there, is the function
            itself, or the function's role does not allow to send to it.
    """
    for arn, services in ((on_success, _ON_SUCCESS), (on_failure, _ON_FAILURE)):
        if arn and (service_of(arn) not in services or arn.endswith(".fifo")):
            shown = f"onSuccess={_shown('OnSuccess', on_success)}, onFailure={_shown('OnFailure', on_failure)}"
            raise invalid_parameter(f"The provided destination config DestinationConfig({shown}) is invalid.")
    for arn in filter(None, (on_success, on_failure)):
        if service_of(arn) == "lambda":
            _check_function(functions, function, arn)
        elif not _is_here(arn) or not await destinations.exists(arn):
            raise _invalid(arn)
        if not await destinations.may_send(arn, function.name, function.role):
            action = permission_for(arn)[0].partition(":")[2]
            raise invalid_parameter(
                f"The function's execution role does not have permissions to call {action} on {arn}"
            )


async def check_dead_letter(destinations: Destinations, arn: str, name: str, role: str) -> None:
    """Refuse a dead-letter queue that is neither a queue nor a topic, or that a function's role may not send to.

    A queue that is not there is accepted, as on AWS; events that are sent to it are reported.

    Raises:
        LambdaApiError: See above.
    """
    if not arn:
        return
    call = _DEAD_LETTER.get(service_of(arn))
    if call is None or not _is_here(arn):
        raise invalid_parameter(
            f"The dead-letter target {arn} is neither an SQS queue nor an SNS topic of {limits.REGION}."
        )
    if not await destinations.may_send(arn, name, role):
        raise invalid_parameter(f"The provided execution role does not have permissions to call {call}")


def _check_function(functions: FunctionStore, function: Function, arn: str) -> None:
    try:
        target = parse_identifier(arn)
        functions.find(target)
    except LambdaApiError:
        raise _invalid(arn) from None
    if target.name == function.name:
        raise invalid_parameter("You can't specify the function as a destination for itself.")


def _is_here(arn: str) -> bool:
    """Return whether an ARN is of the emulated region; buckets have none."""
    return arn.split(":")[3] in ({""} if service_of(arn) == "s3" else {limits.REGION})


def _shown(kind: str, arn: str | None) -> str:
    return "null" if arn is None else f"{kind}(destination={arn})"


def _invalid(arn: str) -> LambdaApiError:
    return invalid_parameter(f"The destination ARN {arn} is invalid.")
