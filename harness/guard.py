"""The guard of every HTTP service of a stack: which requests pass, and how the others are refused.

    a web page       sends its `Origin`, or a name of its own as `Host`   -> 403
    another user     has no credentials of this stack                     -> 403, in AWS's words
    the stack's user sends the stack's access key                         -> passes, and may do all
    a function       sends its environment's access key, session token    -> passes, as its role

Each stack has a random secret. Access keys are derived from it, so that every service recognises them by itself:

    LHAK <32 digits: HMAC of a name>                      the stack's own keys, compared as a whole
    LHAS <name: 16 digits> <24 digits: HMAC of the rest>  an environment's; valid with its own session token only

Signatures are not verified: whoever knows an access key may use it, so access keys are kept as secrets are.
The standard library alone: LocalStack's Python environment runs this file, too.
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

# Services are given the secret in this variable: a command line is for everybody to read.
SECRET_VARIABLE = "HARNESS_STACK_SECRET"  # noqa: S105 - a variable's name
# Further hosts by which callers know a service, separated by commas: its names in the networks of containers.
NAMES_VARIABLE = "HARNESS_STACK_NAMES"
# Answered by the guard itself, without credentials, and without a word: is the service there?
# Behind the guard it may mean something else: an object, to S3 with the bucket as its host.
HEALTH = "/_harness/health"

# Routes by which the harness steers a service: faults, limits of the account, questions about roles.
CONTROL = "/_harness/"
# LocalStack's own: its health takes `{"action": "kill"}`, others run programs or change its settings.
_LOCALSTACK_CONTROL = (CONTROL, "/_localstack", "/_aws")

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Names of the stack's keys: what its user's clients sign with, and CloudFormation's calls of the other services.
CLIENTS, CLOUDFORMATION = "clients", "cloudformation"

_OWN, _SESSION = "LHAK", "LHAS"
_OWN_DIGITS, _NAME_DIGITS, _MAC_DIGITS = 32, 16, 24
_LONGEST_BODY_LEFT_UNREAD = 1 << 20
_MOST_REMEMBERED = 4096
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)(?:/[^/,\s]*/[^/,\s]*/([^/,\s]+))?")
# https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
_VERSION_2 = re.compile(r"AWS ([^:\s]+):")
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
ROLE = r"arn:aws[a-zA-Z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_FUNCTION = r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:[^:]+"

_INVALID = "The security token included in the request is invalid."
_HINT = 'credentials of this stack are needed: eval "$(harness status --shell)"'
_HINT_XML = f"<Hint>{_HINT}</Hint>"
# The services of the query protocol; EC2's errors have a form of their own.
_QUERY = frozenset({"cloudformation", "elasticache", "iam", "sts", "sqs", "sns"})

# The value of a header, by its name in lower case; None where the request has none.
Header = Callable[[str], str | None]


class Refusal(NamedTuple):
    """The answer to a request that goes no further than the guard."""

    status: int
    type: str
    headers: dict[str, str]
    body: bytes


class Signed(NamedTuple):
    """What a request says of who sends it; empty where it says nothing."""

    key: str
    token: str
    service: str


def new_secret() -> str:
    """Return a secret for one stack."""
    return secrets.token_hex(32)


def own_key(secret: str, name: str = CLIENTS) -> str:
    """Return an access key of the stack's own, which may do all."""
    return _OWN + _mac(secret, f"{_OWN} {name}")[:_OWN_DIGITS]


def session_key(secret: str, name: str, token: str) -> str:
    """Return the access key of an environment.

    Args:
        secret: The stack's secret.
        name: The environment's: 16 letters and digits.
        token: The session token that goes with the key; the key alone is worth nothing.
    """
    return f"{_SESSION}{name}{_mac(secret, f'{_SESSION} {name} {token}')[:_MAC_DIGITS]}"


def name_in(key: str) -> str:
    """Return the name of the environment whose access key this is; empty for another key."""
    return key[len(_SESSION) : len(_SESSION) + _NAME_DIGITS] if key.startswith(_SESSION) else ""


def authorization(key: str, service: str = "harness") -> dict[str, str]:
    """Return the header of a request that is signed with this key, but for the signature, which nobody verifies."""
    scope = f"{key}/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}


def signed_by(header: Header, query: str) -> Signed:
    """Return by whom a request is signed: in its headers, or, for a presigned URL, in its query.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    given = header("authorization")
    token = header("x-amz-security-token")
    if given:
        credential = _CREDENTIAL.search(given)
        if credential is not None:
            return Signed(credential[1], token or "", credential[2] or "")
        old = _VERSION_2.match(given)
        return Signed(old[1], token or "", "s3") if old is not None else Signed("", "", "")
    if "=" not in query:
        return Signed("", token or "", "")
    # The first of each name, as for headers.
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query):
        parameters.setdefault(name.lower(), value)
    key, _, scope = parameters.get("x-amz-credential", "").partition("/")
    service = scope.split("/")[2] if scope.count("/") >= 3 else "s3"
    key = key or parameters.get("awsaccesskeyid", "")
    return Signed(key, token or parameters.get("x-amz-security-token", ""), service if key else "")


class Guard:
    """Decides which requests pass.

    Args:
        secret: The stack's secret.
        names: Hosts by which callers know the service beside those of this machine.
        service: What the service is when a request does not say for which one it is: `lambda`, `s3`, ...
        control: Beginnings of the paths that functions may not use.
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
        # Session keys that were found valid, each with its token: environments make many calls each.
        self._admitted: dict[str, str] = {}

    def know(self, names: Iterable[str]) -> None:
        """Add hosts by which callers know the service."""
        self._names |= set(names)

    def refusal(self, method: str, header: Header, path: str, query: str) -> Refusal | None:
        """Return the answer for a request that goes no further, None for one that passes.

        Args:
            method: The request's.
            header: Gives the request's headers.
            path: Its path, without the query.
            query: Its query, undecoded.
        """
        if header("origin") is not None or not self._knows(header("host") or ""):
            message = "only local programs may call this service: a web page may not"
            return Refusal(403, "AccessDeniedException", _JSON, json.dumps({"Message": message}).encode())
        if path == HEALTH and method in {"GET", "HEAD"}:
            return _PRESENT
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
        # A set's lookup compares hashes first, and these are random: it gives nothing away.
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
    """Return the answer of an AWS service to credentials that it does not know.

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
    """Whether a session token, sent with the stack's own key, is a function's in full, or none of ours at all."""
    if not token:
        return True
    try:
        told = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        # Of a user's real session, which AWS_SESSION_TOKEN in the shell adds to any credentials.
        return True
    if not isinstance(told, Mapping) or not {"function", "role"} <= told.keys():
        return True
    return all(
        isinstance(told[name], str) and re.fullmatch(pattern, told[name]) is not None
        for name, pattern in (("function", _FUNCTION), ("role", ROLE))
    )


def _is_private_address(host: str) -> bool:
    """Whether it is an address of a private network: pages that rebind a name have a name as their host."""
    import ipaddress  # noqa: PLC0415 - 4 ms, and hosts are known names and 127.0.0.1 nearly always

    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return False


def guard_from_environment(service: str = "", control: tuple[str, ...] = (CONTROL,)) -> Guard:
    """Return the guard of a service that was given the stack's secret in its environment.

    Args:
        service: See `Guard`.
        control: See `Guard`.

    Raises:
        ValueError: It was given none: no service runs without its guard.
    """
    names = filter(None, os.environ.get(NAMES_VARIABLE, "").split(","))
    return Guard(os.environ.get(SECRET_VARIABLE, ""), names, service, control)


def guard_localstack(gateway: Any) -> None:  # noqa: ANN401 - LocalStack's; this file knows no package
    """Put the guard before LocalStack: the first handler of its chain."""
    guard = guard_from_environment("s3", _LOCALSTACK_CONTROL)

    def check(chain: Any, context: Any, response: Any) -> None:  # noqa: ANN401
        request = context.request
        query = request.query_string.decode("latin-1")
        refusal = guard.refusal(request.method, request.headers.get, request.path, query)
        if refusal is not None:
            response.status_code, response.data = refusal.status, refusal.body
            for name, value in refusal.headers.items():
                response.headers[name] = value
            # Without the handlers of answers, which add CORS headers.
            chain.terminate()

    gateway.request_handlers.insert(0, check)


class GuardedAsgi:
    """An ASGI application behind the guard.

    Args:
        app: What is behind it.
        guard: Decides.
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
                # Nobody reads the rest of the request, so that the connection ends here.
                more = {"Content-Length": str(len(refusal.body)), "Connection": "close"}
                pairs = [(name.encode(), value.encode()) for name, value in (refusal.headers | more).items()]
                await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
                await send({"type": "http.response.body", "body": refusal.body})
                return
        await self._app(scope, receive, send)


class GuardedWsgi:
    """A WSGI application behind the guard.

    Args:
        application: What is behind it.
        guard: Decides.
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
            # Left unread, a body would be taken for the connection's next request.
            environ["wsgi.input"].read(int(length))
        # The connection ends here, whatever of the request is still to come.
        headers = [*refusal.headers.items(), ("Content-Length", str(len(refusal.body))), ("Connection", "close")]
        start_response(f"{refusal.status} {refusal.type}", headers)
        return [b"" if method == "HEAD" else refusal.body]


def wsgi_header(environ: Mapping[str, Any], name: str) -> str | None:
    """Return a header of a WSGI request by its name in lower case."""
    key = name.upper().replace("-", "_")
    value = environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}")
    return None if value is None else str(value)
