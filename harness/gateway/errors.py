"""Errors of the Lambda API in AWS's words: the error's name, the HTTP status, the message.

https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html and each operation's page.
"""

from http import HTTPStatus

from harness.gateway import limits

# Errors whose body has `Message`; the others have `message`.
_CAPITAL_MESSAGE = {
    "ResourceNotFoundException",
    "ServiceException",
    "CodeSigningConfigNotFoundException",
    "CodeVerificationFailedException",
    "InvalidCodeSignatureException",
    "ResourceNotReadyException",
    "RecursiveInvocationException",
    "AccessDeniedException",
}


class LambdaApiError(Exception):
    """An error answer of the Lambda API.

    Args:
        type_: AWS's name of the error, which boto3 puts in `Error.Code`.
        status: HTTP status.
        message: AWS's message.
        reason: AWS's code of the cause, for the errors that have one.
        typed: Whether the body has `Type`, as most of AWS's errors do.
    """

    def __init__(self, type_: str, status: int, message: str, reason: str = "", *, typed: bool = True) -> None:
        self.type_, self.status, self.message, self.reason, self.typed = type_, status, message, reason, typed
        super().__init__(f"{type_}: {message}")

    def body(self) -> dict[str, str]:
        """Return the body of the answer: AWS spells `message` with a capital for some errors."""
        reason = {"Reason": self.reason} if self.reason else {}
        kind = {"Type": "User" if self.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Service"} if self.typed else {}
        return {**reason, **kind, "Message" if self.type_ in _CAPITAL_MESSAGE else "message": self.message}


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
    return LambdaApiError("ValidationException", 400, f"1 validation error detected: {message}", typed=False)


def operation_not_emulated(name: str) -> LambdaApiError:
    """Return a 501: AWS has the operation, this emulation has not; boto3 does not retry this status."""
    return LambdaApiError("NotImplementedException", 501, f"{name} is not emulated.")


def input_not_emulated(operation: str, member: str) -> LambdaApiError:
    """Return a 400: AWS has this member of a request, this emulation has not."""
    return invalid_parameter(f"{member} of {operation} is not emulated: leave it out.")


def other_region(region: str) -> LambdaApiError:
    """Return a 404: the ARN is of another region."""
    message = f"Functions from '{region}' are not reachable in this region ('{limits.REGION}')"
    return LambdaApiError("ResourceNotFoundException", 404, message)


def signed_for_other_region(region: str) -> LambdaApiError:
    """Return a 403: the client's region is another one."""
    message = f"Credential should be scoped to a valid region, not '{region}'. "
    return LambdaApiError("InvalidSignatureException", 403, message, typed=False)


def other_account(arn: str) -> LambdaApiError:
    """Return a 403: the ARN is of another account, which has granted nothing to this one."""
    message = (
        f"User: arn:aws:iam::{limits.ACCOUNT_ID}:root is not authorized to perform this call on resource: {arn} "
        "because no resource-based policy allows it"
    )
    return LambdaApiError("AccessDeniedException", 403, message)


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


def update_in_progress(arn: str) -> LambdaApiError:
    """Return a 409: an earlier change of the function is still under way."""
    return LambdaApiError(
        "ResourceConflictException",
        409,
        f"The operation cannot be performed at this time. An update is in progress for resource: {arn}",
    )


def function_pending() -> LambdaApiError:
    """Return a 409: the function cannot be invoked before its creation has ended."""
    return LambdaApiError(
        "ResourceConflictException",
        409,
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )


def version_in_use(name: str, version: str, aliases: list[str]) -> LambdaApiError:
    """Return a 409: a version cannot be deleted while aliases point to it."""
    return LambdaApiError(
        "ResourceConflictException",
        409,
        f"Version {version} of {name} cannot be deleted because of the following aliases: {', '.join(aliases)}",
    )


def policy_changed() -> LambdaApiError:
    """Return a 412: the policy was changed since the caller read it."""
    return LambdaApiError(
        "PreconditionFailedException",
        412,
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest "
        "Revision Id",
    )


def precondition_failed() -> LambdaApiError:
    """Return a 412: the resource was changed since the caller read it."""
    return LambdaApiError(
        "PreconditionFailedException",
        412,
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve "
        "the latest Revision Id",
    )


def layer_version_absent(arn: str, *, status: int = 404) -> LambdaApiError:
    """Return an error: a version of a layer does not exist; 400 where a function names it."""
    message = f"Layer version {arn} does not exist."
    return not_found(message) if status == HTTPStatus.NOT_FOUND else invalid_parameter(message)


def too_many_layers() -> LambdaApiError:
    """Return a 400: a function names too many layers."""
    return invalid_parameter(f"Cannot reference more than {limits.MOST_LAYERS} layers.")


def two_versions_of_a_layer(one: str, other: str) -> LambdaApiError:
    """Return a 400: a function names the same layer twice."""
    return invalid_parameter(
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{one} and {other} are versions of the same layer."
    )


def wrong_region_of_layers() -> LambdaApiError:
    """Return a 400: a function names a layer of another region."""
    return invalid_parameter(
        f"Layers are not in the same region as the function. Layers are expected to be in region {limits.REGION}."
    )


def other_account_layer(arn: str) -> LambdaApiError:
    """Return a 403: a layer is of another account, whose layers this emulation does not have."""
    return LambdaApiError(
        "AccessDeniedException",
        403,
        f"User: arn:aws:iam::{limits.ACCOUNT_ID}:root is not authorized to perform: lambda:GetLayerVersion on "
        f"resource: {arn} because no resource-based policy allows the lambda:GetLayerVersion action "
        f"(only layers of account {limits.ACCOUNT_ID} in {limits.REGION} exist here: publish a copy)",
    )


def layers_too_large() -> LambdaApiError:
    """Return a 400: the layers of a function are too large together."""
    return invalid_parameter(f"Layers consume more than the available size of {limits.UNZIPPED_BYTES} bytes")


def code_and_layers_too_large(size: int) -> LambdaApiError:
    """Return a 400: the code of a function and its layers are too large together."""
    return invalid_parameter(
        f"Function code combined with layers exceeds the maximum allowed size of {limits.UNZIPPED_BYTES} bytes. "
        f"The actual size is {size} bytes."
    )


def layer_precondition_failed() -> LambdaApiError:
    """Return a 412: the policy of a layer's version was changed since the caller read it."""
    return LambdaApiError(
        "PreconditionFailedException",
        412,
        "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the "
        "latest Revision Id",
    )
