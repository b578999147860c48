"""S3's own answers to requests that it refuses, as the proxy gives them in S3's place.

As recorded of S3 under load (https://github.com/pingcap/tiflash/issues/10538), a 503 has the reason `Slow Down`, an XML
body in chunks, two request ids that the body repeats, and ends the connection:

    HTTP/1.1 503 Slow Down
    x-amz-request-id: 5WYFY5P28HFWHTHX
    x-amz-id-2: zRby//pp1PO7Y2mYDdEeTACIDIVxbp3Uk2a4nd8TnGxIxTXxO1Saf1W6RHKjbExBLJ6kcn9/...
    Content-Type: application/xml
    Transfer-Encoding: chunked
    Date: Fri, 07 Nov 2025 21:19:55 GMT
    Connection: close
    Server: AmazonS3
"""

import base64
import secrets
from dataclasses import dataclass
from email.utils import formatdate

import h11

_ID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_DIGITS, _HOST_ID_BYTES = 16, 56


@dataclass(frozen=True)
class S3Error:
    """One of S3's errors.

    Attributes:
        status: The HTTP status.
        reason: The words behind the status.
        code: The error's code, by which clients know it.
        message: The message.
    """

    status: int
    reason: str
    code: str
    message: str


# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
SLOW_DOWN = S3Error(503, "Slow Down", "SlowDown", "Please reduce your request rate.")
# S3 reports a full disk as an internal error.
NO_SPACE = S3Error(
    500,
    "Internal Server Error",
    "InternalError",
    "We encountered an internal error: no space left on device.",
)


def error_events(error: S3Error, method: bytes) -> list[h11.Event]:
    """Return the events of an answer that ends its connection.

    Args:
        error: The error.
        method: The request's method; an answer to HEAD has no body.
    """
    request_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_DIGITS))
    host_id = base64.b64encode(secrets.token_bytes(_HOST_ID_BYTES)).decode()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{error.message}</Message>"
        f"<RequestId>{request_id}</RequestId><HostId>{host_id}</HostId></Error>"
    )
    headers = {
        "x-amz-request-id": request_id,
        "x-amz-id-2": host_id,
        "Content-Type": "application/xml",
        "Transfer-Encoding": "chunked",
        "Date": formatdate(usegmt=True),
        "Connection": "close",
        "Server": "AmazonS3",
    }
    response = h11.Response(status_code=error.status, reason=error.reason, headers=list(headers.items()))
    data = [] if method == b"HEAD" else [h11.Data(data=body.encode())]
    return [response, *data, h11.EndOfMessage()]
