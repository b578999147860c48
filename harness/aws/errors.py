"""Errors of the AWS clients, translated into the harness's error in this one place.

Codes: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    WaiterError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from harness.aws.setting_place import place_of_setting
from harness.errors import HarnessError

_LOG_IN = "log in again (`aws sso login`), or renew the keys that your profile or environment names"
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "AuthFailure",
    "InvalidToken",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "403"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
}
# A stack's answers to the second of two concurrent commands.
_BUSY = {"ChangeSetNotFound", "InvalidChangeSetStatus", "OperationInProgressException"}
_LONGEST_QUOTE = 400
_THIS_MACHINE = {"127.0.0.1", "::1", "localhost"}


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn any error of the AWS clients within the block into one HarnessError.

    Args:
        doing: The block's task, for example `reading the stack lambda-harness`.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise to_harness_error(doing, error) from error


@contextmanager
def aws_settings() -> Iterator[None]:
    """Turn any error in creating sessions and clients for AWS into one HarnessError.

    They depend on nothing but the user's settings: the error names the file and the key, or the variable.
    """
    try:
        yield
    except HarnessError:
        raise
    except BotoCoreError as error:
        raise to_harness_error("reading the AWS settings", error) from error
    except Exception as error:
        # botocore does not catch the errors of its parsers: ValueError, OSError, AttributeError and others.
        raise _wrong_setting(error) from error


def code_of_error(error: ClientError) -> str:
    """Return AWS's code for the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def to_harness_error(doing: str, error: ClientError | BotoCoreError) -> HarnessError:
    """Return the error in the user's terms: what failed, AWS's message, and what to do."""
    if isinstance(error, ClientError):
        return _client_error(doing, error)
    if isinstance(error, WaiterError):
        return HarnessError(f"{doing}: it did not become ready", str(error)[:_LONGEST_QUOTE])
    if (here := _address_here(error)) is not None:
        return HarnessError(
            f"the stack's service at {here} does not answer",
            f"{doing}: {error}"[:_LONGEST_QUOTE],
            "`harness status` names the parts that died; then run `harness down` and `harness up`",
        )
    for kind, what, remedy in _OWN:
        if isinstance(error, kind):
            return HarnessError(what, f"{doing}: {error}"[:_LONGEST_QUOTE], remedy)
    place = place_of_setting(error)
    if place:
        return _wrong_setting(error, place)
    return HarnessError(f"{doing} failed", str(error)[:_LONGEST_QUOTE])


def _wrong_setting(error: Exception, place: str = "") -> HarnessError:
    place = place or place_of_setting(error)
    remedy = f"correct {place}" if place else "check AWS's variables (`env | grep AWS`) and ~/.aws/config"
    return HarnessError("an AWS setting of yours is wrong", (str(error) or repr(error))[:_LONGEST_QUOTE], remedy)


def _address_here(error: BotoCoreError) -> str | None:
    """Return the address on this machine that could not be reached; None for any other error."""
    if not isinstance(error, NoConnectionError | HTTPClientError):
        return None
    address = urlsplit(str(error.kwargs.get("endpoint_url", "")))
    return address.netloc if address.hostname in _THIS_MACHINE else None


_OWN: tuple[tuple[type[BotoCoreError], str, str], ...] = (
    (
        NoCredentialsError,
        "there are no AWS credentials",
        "make some known (`aws configure sso`, AWS_PROFILE, or AWS_ACCESS_KEY_ID and its companions)",
    ),
    (PartialCredentialsError, "the AWS credentials are incomplete", "set all of them, or none"),
    (ConfigParseError, "an AWS file of yours cannot be read", "correct that file; AWS's tools read it as UTF-8"),
    (ProfileNotFound, "AWS_PROFILE names a profile that there is not", "see `aws configure list-profiles`"),
    (CredentialRetrievalError, "the AWS credentials cannot be fetched", _LOG_IN),
    (TokenRetrievalError, "the AWS session has ended", _LOG_IN),
    (SSOError, "the AWS session has ended", _LOG_IN),
    (NoRegionError, "no AWS region is set", "name one: --region, or AWS_REGION"),
    (NoConnectionError, "AWS cannot be reached", "check the network, and that the region has this service"),
    (HTTPClientError, "AWS cannot be reached", "check the network, and that the region has this service"),
)


_BY_CODE: tuple[tuple[set[str], str, str], ...] = (
    (_EXPIRED, "the AWS credentials have expired", _LOG_IN),
    (_UNKNOWN, "AWS does not accept the credentials", _LOG_IN),
    (
        _BUSY,
        "another command is at work on the same stack",
        "run the command again: it waits until the other one has finished, and goes on",
    ),
)


def _client_error(doing: str, error: ClientError) -> HarnessError:
    code, words = code_of_error(error), str(error.response.get("Error", {}).get("Message", ""))
    quote = f"{doing}: {code}: {words}"[:_LONGEST_QUOTE]
    for codes, what, remedy in _BY_CODE:
        if code in codes:
            return HarnessError(what, quote, remedy)
    if code in _DENIED:
        remedy = "docs/deployer-policy.json lists what the deployer must be allowed"
        return HarnessError(f"these credentials may not do that: {error.operation_name}", quote, remedy)
    if code in _THROTTLED:
        remedy = "wait a minute and run the command again; it goes on where it was"
        return HarnessError(f"AWS throttles {error.operation_name}, after several tries", quote, remedy)
    if "LimitExceeded" in code or "QuotaExceeded" in code:
        return HarnessError(f"a quota of the account is used up: {code}", quote, "raise it in Service Quotas")
    return HarnessError(f"{doing}: {error.operation_name} failed: {code}", words[:_LONGEST_QUOTE])
