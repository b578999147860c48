"""The answers of a service that refuses a call, as a stage gives them in the service's place."""

from dataclasses import dataclass

from harness.emulation.faults import error_content
from harness.explore.schedule import Blow
from harness.explore.stage.requests import StageRequest


@dataclass(frozen=True)
class StageAnswer:
    """One HTTP answer.

    Attributes:
        status: Its status.
        headers: Its headers.
        body: Its whole body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class _Refusal:
    status: int
    code: str
    message: str


# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_ERRORS = {
    "s3": _Refusal(500, "InternalError", "We encountered an internal error. Please try again."),
    "dynamodb": _Refusal(500, "InternalServerError", "Internal server error"),
    "lambda": _Refusal(500, "ServiceException", "An error occurred and the request cannot be processed."),
    "": _Refusal(500, "InternalFailure", "The request processing has failed because of an unknown error."),
}
_THROTTLES = {
    "s3": _Refusal(503, "SlowDown", "Please reduce your request rate."),
    "dynamodb": _Refusal(
        400, "ProvisionedThroughputExceededException", "The level of configured provisioned throughput is exceeded."
    ),
    "lambda": _Refusal(429, "TooManyRequestsException", "Rate Exceeded."),
    "": _Refusal(400, "ThrottlingException", "Rate exceeded"),
}


def refusal_of(blow: Blow, request: StageRequest) -> StageAnswer:
    """Return the answer of a service that fails a call, or throttles it, in the format of its protocol.

    Args:
        blow: `ERROR` or `THROTTLE`.
        request: The call.
    """
    table = _THROTTLES if blow is Blow.THROTTLE else _ERRORS
    refusal = table.get(request.service, table[""])
    kind, body = error_content(request.service, refusal.code, refusal.message, has_json_target=request.has_json_target)
    headers = (("Content-Type", kind), ("x-amzn-ErrorType", refusal.code))
    return StageAnswer(refusal.status, headers, b"" if request.method == "HEAD" else body)
