"""Errors of the Lambda API, in AWS's words: the type's name, the HTTP status, the message.

https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html and each operation's page.
"""

from harness.gateway import limits


class LambdaApiError(Exception):
    """An error answer of the Lambda API.

    Args:
        type_: AWS's name of the error, as boto3 shows it in `Error.Code`.
        status: HTTP status.
        message: What AWS says.
        reason: AWS's code of the cause, for the errors that have one.
    """

    def __init__(self, type_: str, status: int, message: str, reason: str = "") -> None:
        self.type_, self.status, self.message, self.reason = type_, status, message, reason
        super().__init__(f"{type_}: {message}")


def function_not_found(arn: str) -> LambdaApiError:
    """404: there is no such function."""
    return LambdaApiError("ResourceNotFoundException", 404, f"Function not found: {arn}")


def function_exists(name: str) -> LambdaApiError:
    """409: the function's name is taken."""
    return LambdaApiError("ResourceConflictException", 409, f"Function already exist: {name}")


def invalid_parameter(message: str) -> LambdaApiError:
    """400: a parameter that is well-formed but not allowed."""
    return LambdaApiError("InvalidParameterValueException", 400, message)


def validation_failed(message: str) -> LambdaApiError:
    """400: a parameter breaks the API's schema."""
    return LambdaApiError("ValidationException", 400, f"1 validation error detected: {message}")


def body_not_json(message: str) -> LambdaApiError:
    """400: the payload is not JSON."""
    return LambdaApiError("InvalidRequestContentException", 400, f"Could not parse request body into json: {message}")


def client_context_invalid() -> LambdaApiError:
    """Return a 400: the client context is not a JSON object in Base64."""
    return LambdaApiError(
        "InvalidRequestContentException", 400, "Client context must be a valid Base64-encoded JSON object."
    )


def request_too_large(limit: int, operation: str) -> LambdaApiError:
    """413: the payload is above the limit of its invocation type."""
    return LambdaApiError(
        "RequestEntityTooLargeException",
        413,
        f"Request must be smaller than {limit} bytes for the {operation} operation",
    )


def zipped_too_large() -> LambdaApiError:
    """413: a deployment package above the limit for direct uploads."""
    message = f"Zipped size must be smaller than {limits.ZIPPED_BYTES} bytes"
    return LambdaApiError("RequestEntityTooLargeException", 413, message)


def unzipped_too_large() -> LambdaApiError:
    """400: a deployment package that is too large once unpacked."""
    return invalid_parameter(f"Unzipped size must be smaller than {limits.UNZIPPED_BYTES} bytes")


def no_room(folder: str) -> LambdaApiError:
    """507: this machine has no room for a package; boto3 does not try this status again."""
    return LambdaApiError("ServiceException", 507, f"No space left on the disk that holds {folder}")


def recursive_invocation(name: str) -> LambdaApiError:
    """400: a function that was reached through itself too often."""
    return LambdaApiError(
        "RecursiveInvocationException",
        400,
        f"Lambda has detected your function {name} being invoked in a recursive loop and stopped its invocation.",
    )


def too_many_requests(reason: str = "ConcurrentInvocationLimitExceeded") -> LambdaApiError:
    """429: no concurrency is left, the account's or the function's own."""
    return LambdaApiError("TooManyRequestsException", 429, "Rate Exceeded.", reason)


def not_found(message: str) -> LambdaApiError:
    """404: something of a function that is not there."""
    return LambdaApiError("ResourceNotFoundException", 404, message)


def alias_exists(arn: str) -> LambdaApiError:
    """409: the alias's name is taken."""
    return LambdaApiError("ResourceConflictException", 409, f"Alias already exists: {arn}")


def version_in_use(name: str, version: str, aliases: list[str]) -> LambdaApiError:
    """409: a version to which aliases point cannot be deleted."""
    return LambdaApiError(
        "ResourceConflictException",
        409,
        f"Version {version} of {name} cannot be deleted because of the following aliases: {', '.join(aliases)}",
    )


def precondition_failed() -> LambdaApiError:
    """412: somebody else has changed it meanwhile."""
    return LambdaApiError(
        "PreconditionFailedException",
        412,
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve "
        "the latest Revision Id",
    )
