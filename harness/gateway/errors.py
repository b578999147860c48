"""Errors of the Lambda API in AWS's words: the error's name, the HTTP status, the message.

https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html and each operation's page.
"""

from harness.gateway import limits


class LambdaApiError(Exception):
    """An error answer of the Lambda API.

    Args:
        type_: AWS's name of the error, which boto3 puts in `Error.Code`.
        status: HTTP status.
        message: AWS's message.
        reason: AWS's code of the cause, for the errors that have one.
    """

    def __init__(self, type_: str, status: int, message: str, reason: str = "") -> None:
        self.type_, self.status, self.message, self.reason = type_, status, message, reason
        super().__init__(f"{type_}: {message}")


def function_not_found(arn: str) -> LambdaApiError:
    """Return a 404: the function does not exist."""
    return LambdaApiError("ResourceNotFoundException", 404, f"Function not found: {arn}")


def function_exists(name: str) -> LambdaApiError:
    """Return a 409: the function's name is taken."""
    return LambdaApiError("ResourceConflictException", 409, f"Function already exist: {name}")


def invalid_parameter(message: str) -> LambdaApiError:
    """Return a 400: a parameter is well-formed but not allowed."""
    return LambdaApiError("InvalidParameterValueException", 400, message)


def validation_failed(message: str) -> LambdaApiError:
    """Return a 400: a parameter violates the API's schema."""
    return LambdaApiError("ValidationException", 400, f"1 validation error detected: {message}")


def body_not_json(message: str) -> LambdaApiError:
    """Return a 400: the body is not JSON."""
    return LambdaApiError("InvalidRequestContentException", 400, f"Could not parse request body into json: {message}")


def client_context_invalid() -> LambdaApiError:
    """Return a 400: the client context is not a JSON object in Base64."""
    return LambdaApiError(
        "InvalidRequestContentException", 400, "Client context must be a valid Base64-encoded JSON object."
    )


def request_too_large(limit: int, operation: str) -> LambdaApiError:
    """Return a 413: the request exceeds the size limit of its operation."""
    return LambdaApiError(
        "RequestEntityTooLargeException",
        413,
        f"Request must be smaller than {limit} bytes for the {operation} operation",
    )


def zipped_too_large() -> LambdaApiError:
    """Return a 413: the deployment package exceeds the limit for direct uploads."""
    message = f"Zipped size must be smaller than {limits.ZIPPED_BYTES} bytes"
    return LambdaApiError("RequestEntityTooLargeException", 413, message)


def unzipped_too_large() -> LambdaApiError:
    """Return a 400: the deployment package is too large when unpacked."""
    return invalid_parameter(f"Unzipped size must be smaller than {limits.UNZIPPED_BYTES} bytes")


def no_room(folder: str) -> LambdaApiError:
    """Return a 507: this machine has no space for a package; boto3 does not retry this status."""
    return LambdaApiError("ServiceException", 507, f"No space left on the disk that holds {folder}")


def recursive_invocation(name: str) -> LambdaApiError:
    """Return a 400: the function has invoked itself too often, directly or through others."""
    return LambdaApiError(
        "RecursiveInvocationException",
        400,
        f"Lambda has detected your function {name} being invoked in a recursive loop and stopped its invocation.",
    )


def too_many_requests(reason: str = "ConcurrentInvocationLimitExceeded") -> LambdaApiError:
    """Return a 429: the account's or the function's concurrency is used up."""
    return LambdaApiError("TooManyRequestsException", 429, "Rate Exceeded.", reason)


def not_found(message: str) -> LambdaApiError:
    """Return a 404: a part of a function does not exist."""
    return LambdaApiError("ResourceNotFoundException", 404, message)


def alias_exists(arn: str) -> LambdaApiError:
    """Return a 409: the alias's name is taken."""
    return LambdaApiError("ResourceConflictException", 409, f"Alias already exists: {arn}")


def version_in_use(name: str, version: str, aliases: list[str]) -> LambdaApiError:
    """Return a 409: a version cannot be deleted while aliases point to it."""
    return LambdaApiError(
        "ResourceConflictException",
        409,
        f"Version {version} of {name} cannot be deleted because of the following aliases: {', '.join(aliases)}",
    )


def precondition_failed() -> LambdaApiError:
    """Return a 412: the resource was changed since the caller read it."""
    return LambdaApiError(
        "PreconditionFailedException",
        412,
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve "
        "the latest Revision Id",
    )
