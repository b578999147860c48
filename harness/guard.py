"""The guard of every HTTP service of a stack: it decides which requests pass, and refuses the others.

    a web page       sends its `Origin`, or a name of its own as `Host`   -> 403
    another user     has no credentials of this stack                     -> 403, in AWS's words
    the stack's user sends the stack's access key                         -> passes, and may do everything
    a function       sends its environment's access key, session token    -> passes, as its role

Each stack has a random secret. Access keys are derived from it, so that every service recognises them by itself:

    LHAK <32 digits: HMAC of a name>                      the stack's own keys, compared as a whole
    LHAS <name: 16 digits> <24 digits: HMAC of the rest>  an environment's; valid with its own session token only

Signatures are not verified: anybody who knows an access key may use it, so access keys are kept secret.
This module imports the standard library only, because LocalStack's Python environment runs it too.
"""

import base64
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

# Services receive the secret in this variable, because every user can read a command line.
SECRET_VARIABLE = "HARNESS_STACK_SECRET"  # noqa: S105 - a variable's name
# Further host names of a service, separated by commas: its names in container networks.
NAMES_VARIABLE = "HARNESS_STACK_NAMES"
# The guard itself answers this path, without credentials and with an empty body: is the service up?
# Behind the guard the path may mean something else, such as an object in S3 if the host names a bucket.
HEALTH = "/_harness/health"

# Routes by which the harness controls a service: faults, account limits, questions about roles.
CONTROL = "/_harness/"
# LocalStack's own routes: its health accepts `{"action": "kill"}`, others run programs or change settings.
_LOCALSTACK_CONTROL = (CONTROL, "/_localstack", "/_aws")

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Names of the stack's keys: one for the user's clients, one for CloudFormation's calls to the other services.
CLIENTS, CLOUDFORMATION = "clients", "cloudformation"

_OWN, _SESSION = "LHAK", "LHAS"
_OWN_DIGITS, _NAME_DIGITS, _MAC_DIGITS = 32, 16, 24
_LONGEST_BODY_LEFT_UNREAD = 1 << 20
_MOST_REMEMBERED = 4096
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)(?:/[^/,\s]*/([^/,\s]*)/([^/,\s]+))?")
# https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
_VERSION_2 = re.compile(r"AWS ([^:\s]+):")
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
ROLE = r"arn:aws[a-zA-Z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_FUNCTION = r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:[^:]+"

_INVALID = "The security token included in the request is invalid."
_HINT = 'credentials of this stack are needed: eval "$(harness status --shell)"'
_HINT_XML = f"<Hint>{_HINT}</Hint>"
# Services with the query protocol; EC2's errors have a different form.
_QUERY = frozenset({"cloudformation", "elasticache", "iam", "sts", "sqs", "sns"})

# Returns the value of a header, by its name in lower case; None if the request has none.
Header = Callable[[str], str | None]


class Refusal(NamedTuple):
    """The answer to a request that the guard does not let pass."""

    status: int
    type: str
    headers: dict[str, str]
    body: bytes


class Signed(NamedTuple):
    """The credentials in a request; empty where it has none."""

    key: str
    token: str
    service: str
    region: str = ""


def new_secret() -> str:
    """Return a secret for one stack."""
    return secrets.token_hex(32)


def own_key(secret: str, name: str = CLIENTS) -> str:
    """Return one of the stack's own access keys, which may do everything."""
    return _OWN + _mac(secret, f"{_OWN} {name}")[:_OWN_DIGITS]


def session_key(secret: str, name: str, token: str) -> str:
    """Return the access key of an environment.

    Args:
        secret: The stack's secret.
        name: The environment's name: 16 letters and digits.
        token: The session token that belongs to the key; the key is invalid without it.
    """
    return f"{_SESSION}{name}{_mac(secret, f'{_SESSION} {name} {token}')[:_MAC_DIGITS]}"


def name_in(key: str) -> str:
    """Return the name of the environment that an access key belongs to; empty for other keys."""
    return key[len(_SESSION) : len(_SESSION) + _NAME_DIGITS] if key.startswith(_SESSION) else ""


def authorization(key: str, service: str = "harness") -> dict[str, str]:
    """Return the header of a request signed with this key; the signature is a placeholder, since nobody verifies it."""
    scope = f"{key}/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}


def signed_by(header: Header, query: str) -> Signed:
    """Return the credentials that sign a request: from its headers, or from the query of a presigned URL.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    given = header("authorization")
    token = header("x-amz-security-token")
    if given:
        credential = _CREDENTIAL.search(given)
        if credential is not None:
            return Signed(credential[1], token or "", credential[3] or "", credential[2] or "")
        old = _VERSION_2.match(given)
        return Signed(old[1], token or "", "s3") if old is not None else Signed("", "", "")
    if "=" not in query:
        return Signed("", token or "", "")
    # As with headers, the first value of a name counts.
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query):
        parameters.setdefault(name.lower(), value)
    key, _, scope = parameters.get("x-amz-credential", "").partition("/")
    _, region, service, *_ = scope.split("/") if scope.count("/") >= 3 else ("", "", "s3")
    key = key or parameters.get("awsaccesskeyid", "")
    return Signed(key, token or parameters.get("x-amz-security-token", ""), service if key else "", region)


class Guard:
    """Decides which requests pass.

    Args:
        secret: The stack's secret.
        names: Further host names of the service, beside those of this machine.
        service: The service to assume if a request does not name one: `lambda`, `s3`, ...
        control: Prefixes of the paths that functions may not use.
    """

    def __init__(
        self, secret: str, names: Iterable[str] = (), service: str = "", control: tuple[str, ...] = (CONTROL,)
    ) -> None:
        if not secret:
            raise ValueError(f"no secret of the stack in {SECRET_VARIABLE}")
        self._secret = secret
        self._names = LOCAL_NAMES | set(names)
        self._service = service
        self._control = control
        self._own = frozenset(own_key(secret, name) for name in (CLIENTS, CLOUDFORMATION))
        self._open: tuple[str, ...] = ()
        self._left: set[str] = set()
        # Valid session keys, each with its token, because each environment makes many calls.
        self._admitted: dict[str, str] = {}

    def know(self, names: Iterable[str]) -> None:
        """Add host names of the service."""
        self._names |= set(names)

    def open(self, prefix: str) -> None:
        """Let reads of paths with this prefix pass without credentials: their URLs are secrets themselves."""
        self._open = (*self._open, prefix)

    def leave(self, path: str) -> None:
        """Let all requests for a path pass, whose service checks them by itself."""
        self._left.add(path)

    def refusal(self, method: str, header: Header, path: str, query: str) -> Refusal | None:
        """Return the answer to a request that must not pass; None for a request that passes.

        Args:
            method: The request's method.
            header: Returns a header of the request.
            path: The request's path, without the query.
            query: The request's query, not decoded.
        """
        if header("origin") is not None or not self._knows(header("host") or ""):
            message = "only local programs may call this service: a web page may not"
            return Refusal(403, "AccessDeniedException", _JSON, json.dumps({"Message": message}).encode())
        if path == HEALTH and method in {"GET", "HEAD"}:
            return _PRESENT
        if path in self._left or (path.startswith(self._open) and method in {"GET", "HEAD"}):
            return None
        signed = signed_by(header, query)
        if self.admits(signed):
            if path.startswith(self._control) and signed.key.startswith(_SESSION):
                message = "a function may not steer its own emulation"
                return Refusal(403, "AccessDeniedException", _JSON, json.dumps({"Message": message}).encode())
            return None
        return invalid_token(signed.service or self._service, header)

    def admits(self, signed: Signed) -> bool:
        """Return whether these are credentials of this stack."""
        key = signed.key
        if key.startswith(_SESSION):
            return self._admitted.get(key) == signed.token or self._admits_session(key, signed.token)
        # A set compares hashes first, and Python's are random, so the lookup's timing reveals nothing.
        return key in self._own and _is_sound(signed.token)

    def _admits_session(self, key: str, token: str) -> bool:
        expected = session_key(self._secret, name_in(key), token)
        valid = hmac.compare_digest(key.encode(), expected.encode())
        if valid:
            if len(self._admitted) >= _MOST_REMEMBERED:
                self._admitted.clear()
            self._admitted[key] = token
        return valid

    def _knows(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name in self._names or name.endswith(".localhost") or _is_private_address(name)


_JSON = {"Content-Type": "application/json"}
_PRESENT = Refusal(200, "OK", {}, b"")


def invalid_token(service: str, header: Header) -> Refusal:
    """Return an AWS service's answer to unknown credentials.

    https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
    """
    target = header("x-amz-target")
    form = (header("content-type") or "").startswith("application/x-www-form-urlencoded")
    if target is None and service == "ec2":
        message = "AWS was not able to validate the provided access credentials"
        inner = f"<Errors><Error><Code>AuthFailure</Code><Message>{message}</Message></Error></Errors>"
        return _xml(401, "AuthFailure", f"<Response>{inner}{_HINT_XML}</Response>")
    if target is None and (service in _QUERY or (form and service != "lambda")):
        code = "InvalidClientTokenId"
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{_INVALID}</Message></Error>"
        return _xml(403, code, f"<ErrorResponse>{inner}{_HINT_XML}</ErrorResponse>")
    if target is None and service == "s3":
        code, message = "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
        return _xml(403, code, f"<Error><Code>{code}</Code><Message>{message}</Message>{_HINT_XML}</Error>")
    type_ = "UnrecognizedClientException"
    headers = {
        "Content-Type": "application/x-amz-json-1.1" if target else "application/json",
        "x-amzn-ErrorType": type_,
    }
    body = {"__type": type_, "message": _INVALID, "hint": _HINT}
    return Refusal(403, type_, headers, json.dumps(body).encode())


def _xml(status: int, type_: str, content: str) -> Refusal:
    return Refusal(status, type_, {"Content-Type": "application/xml"}, content.encode())


def _mac(secret: str, message: str) -> str:
    return hmac.digest(secret.encode(), message.encode(errors="replace"), "sha256").hex()


def _is_sound(token: str) -> bool:
    """Return whether a session token sent with the stack's own key is a complete one of a function, or not ours."""
    if not token:
        return True
    try:
        caller = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        # It belongs to a real session: AWS_SESSION_TOKEN in the user's shell is added to any credentials.
        return True
    if not isinstance(caller, Mapping) or not {"function", "role"} <= caller.keys():
        return True
    return all(
        isinstance(caller[name], str) and re.fullmatch(pattern, caller[name]) is not None
        for name, pattern in (("function", _FUNCTION), ("role", ROLE))
    )


def _is_private_address(host: str) -> bool:
    """Return whether a host is a private address; a web page that rebinds its DNS name has that name as its host."""
    import ipaddress  # noqa: PLC0415 - it takes 4 ms, and nearly all hosts are known names

    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return False


def guard_from_environment(service: str = "", control: tuple[str, ...] = (CONTROL,)) -> Guard:
    """Return the guard of a service, with the stack's secret from the environment.

    Args:
        service: See `Guard`.
        control: See `Guard`.

    Raises:
        ValueError: The environment has no secret; no service runs without its guard.
    """
    names = filter(None, os.environ.get(NAMES_VARIABLE, "").split(","))
    return Guard(os.environ.get(SECRET_VARIABLE, ""), names, service, control)


def guard_localstack(gateway: Any) -> None:  # noqa: ANN401 - LocalStack's type; this module imports no package
    """Make the guard the first handler in LocalStack's chain."""
    guard = guard_from_environment("s3", _LOCALSTACK_CONTROL)

    def check(chain: Any, context: Any, response: Any) -> None:  # noqa: ANN401
        request = context.request
        query = request.query_string.decode("latin-1")
        refusal = guard.refusal(request.method, request.headers.get, request.path, query)
        if refusal is not None:
            response.status_code, response.data = refusal.status, refusal.body
            for name, value in refusal.headers.items():
                response.headers[name] = value
            # Skip LocalStack's response handlers, which add CORS headers.
            chain.terminate()

    gateway.request_handlers.insert(0, check)


class GuardedAsgi:
    """An ASGI application behind the guard.

    Args:
        app: The application.
        guard: The guard.
    """

    def __init__(self, app: Any, guard: Guard) -> None:  # noqa: ANN401 - ASGI's own types need a package
        self._app, self._guard = app, guard

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Pass a request on, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            headers: dict[str, str] = {}
            for name, value in scope["headers"]:
                headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
            query = scope["query_string"].decode("latin-1")
            refusal = self._guard.refusal(scope["method"], headers.get, scope["path"], query)
            if refusal is not None:
                # Nobody reads the rest of the request, so close the connection.
                more = {"Content-Length": str(len(refusal.body)), "Connection": "close"}
                pairs = [(name.encode(), value.encode()) for name, value in (refusal.headers | more).items()]
                await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
                await send({"type": "http.response.body", "body": refusal.body})
                return
        await self._app(scope, receive, send)


class GuardedWsgi:
    """A WSGI application behind the guard.

    Args:
        application: The application.
        guard: The guard.
    """

    def __init__(self, application: Any, guard: Guard) -> None:  # noqa: ANN401 - WSGI's
        self._application, self._guard = application, guard

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        """Pass a request on, or refuse it."""
        method, path, query = environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        refusal = self._guard.refusal(method, lambda name: wsgi_header(environ, name), path, query)
        length = environ.get("CONTENT_LENGTH") or "0"
        if refusal is None and not length.isdecimal():
            refusal = Refusal(400, "Bad Request", {}, b"Content-Length is no number\n")
        if refusal is None:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        if length.isdecimal() and int(length) <= _LONGEST_BODY_LEFT_UNREAD and length != "0":
            # An unread body would be taken for the connection's next request.
            environ["wsgi.input"].read(int(length))
        # Close the connection: the rest of the request may still arrive.
        headers = [*refusal.headers.items(), ("Content-Length", str(len(refusal.body))), ("Connection", "close")]
        start_response(f"{refusal.status} {refusal.type}", headers)
        return [b"" if method == "HEAD" else refusal.body]


def wsgi_header(environ: Mapping[str, Any], name: str) -> str | None:
    """Return a header of a WSGI request by its name in lower case."""
    key = name.upper().replace("-", "_")
    value = environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}")
    return None if value is None else str(value)
