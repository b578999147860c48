"""HTTP requests to function URLs as events of payload format 2.0, and functions' answers as HTTP answers.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec

_TEXT = re.compile(r"text/|application/(json|xml|javascript)\b|application/[\w.-]+\+(json|xml)\b", re.IGNORECASE)
_NAME, _VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+"), re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Headers of the connection, which functions do not set.
_REMAPPED = {"connection", "content-length", "date", "keep-alive", "transfer-encoding"}
_UNSEEN = {"connection", "cookie"}
# A status below 200 would not end the answer.
_SMALLEST_STATUS, _LARGEST_STATUS = 200, 599
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """A request to a function URL.

    Attributes:
        url_id: The URL's id.
        domain: Its host name.
        method: The HTTP method.
        path: The path, decoded.
        query: The query as it was sent.
        headers: All headers, names in lower case.
        body: The content.
        source: The caller's address.
        account: The caller's account, or `anonymous`.
        authorizer: What AWS knows of a caller with credentials; empty for others.
        request_id: The request's id.
        trace: X-Ray's trace header.
    """

    url_id: str
    domain: str
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    source: str
    account: str
    authorizer: dict[str, Any]
    request_id: str
    trace: str

    def event(self) -> bytes:
        """Return the event that the function gets, as JSON."""
        headers = _joined((name, value) for name, value in self.headers if name not in _UNSEEN)
        cookies = [part.strip() for name, value in self.headers if name == "cookie" for part in value.split(";")]
        parameters = _joined(parse_qsl(self.query, keep_blank_values=True))
        is_text = bool(_TEXT.match(headers.get("content-type", ""))) and _decodes(self.body)
        now = datetime.now(UTC)
        context: dict[str, Any] = {
            "accountId": self.account,
            "apiId": self.url_id,
            "domainName": self.domain,
            "domainPrefix": self.url_id,
            "http": {
                "method": self.method,
                "path": self.path,
                "protocol": "HTTP/1.1",
                "sourceIp": self.source,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": self.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        }
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": self.query,
            **({"cookies": cookies} if cookies else {}),
            "headers": headers | self._added(),
            **({"queryStringParameters": parameters} if parameters else {}),
            "requestContext": context | ({"authorizer": self.authorizer} if self.authorizer else {}),
        }
        if self.body:
            event["body"] = self.body.decode() if is_text else base64.b64encode(self.body).decode()
        event["isBase64Encoded"] = bool(self.body) and not is_text
        return msgspec.json.encode(event)

    def _added(self) -> dict[str, str]:
        """Return the headers that AWS adds."""
        return {
            "host": self.domain,
            "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
            "x-amzn-tls-version": "TLSv1.3",
            "x-amzn-trace-id": self.trace.partition(";")[0],
            "x-forwarded-for": self.source,
            "x-forwarded-port": self.domain.rpartition(":")[2],
            "x-forwarded-proto": "http",
        }


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    """An answer to a request to a function URL."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=list)


FAILED = UrlAnswer(HTTPStatus.BAD_GATEWAY, b"Internal Server Error", [("content-type", "application/json")])


def answer_of(payload: bytes) -> UrlAnswer:
    """Return the HTTP answer that a function's answer describes; `FAILED` if it describes none that can be sent."""
    plain = [("content-type", "application/json")]
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return UrlAnswer(HTTPStatus.OK, payload, plain)
    if isinstance(value, str):
        return UrlAnswer(HTTPStatus.OK, value.encode(errors="surrogatepass"), plain)
    if not isinstance(value, dict) or "statusCode" not in value:
        return UrlAnswer(HTTPStatus.OK, _compact(value), plain)
    try:
        status = int(value["statusCode"])
        headers = _headers_of(value)
        body = _body_of(value)
    except (ValueError, TypeError, binascii.Error):
        return FAILED
    if not _SMALLEST_STATUS <= status <= _LARGEST_STATUS:
        return FAILED
    return UrlAnswer(status, b"" if status in _WITHOUT_BODY else body, headers)


def _headers_of(value: dict[str, Any]) -> Headers:
    """Return an answer's headers; `ValueError` or `TypeError` for what HTTP does not allow."""
    named = value.get("headers") or {}
    if not isinstance(named, dict):
        raise TypeError("the headers are not an object")
    given = [(str(name), _text(one)) for name, one in named.items()]
    headers = [(f"x-amzn-remapped-{name}" if name.lower() in _REMAPPED else name, one) for name, one in given]
    headers += [("set-cookie", str(cookie)) for cookie in value.get("cookies") or ()]
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(one) for name, one in headers):
        raise ValueError("a header that HTTP does not allow")
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    return headers


def _body_of(value: dict[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return _compact(body)
    return base64.b64decode(body) if value.get("isBase64Encoded") is True else body.encode(errors="surrogatepass")


def _compact(value: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else json.dumps(value)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs as a mapping; several values of a name are joined by commas, as AWS does."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _decodes(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
