"""Who may talk to the page's server: the browser that was given the token, and nobody's web page.

    GET /?token=T     the address that a command printed: sets the cookie and leads to /
    GET /?ticket=T    the same, once, for the browser that a command opens
    the cookie        for everything else: HttpOnly, SameSite=Strict, one name per port
    Bearer T          the same for programs, such as Prometheus: `Authorization: Bearer T`
    Host, Origin      must name this server: a name that was rebound, or a stranger's page, is refused
    X-Page-Token      for requests that change something; only the page's own document holds it

The server listens on the loopback interface alone.
Every answer says that it may not be framed, cached, sniffed or sent elsewhere, and that the page loads nothing else.
"""

import hmac
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.page.address import LOCALHOST, PageAddress
from harness.page.tickets import Tickets

_SAFE = frozenset({"GET", "HEAD"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REFUSED = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Not this way</title></head>
<body>
<h1>{what}</h1>
<p>{remedy}</p>
</body>
</html>
"""
_PRINTED = "Run <code>harness page</code> in the project, and open the address that it prints."


class PageAccess:
    """Refuses requests from elsewhere.

    Args:
        app: The application behind it.
        address: Where the page is served.
    """

    def __init__(self, app: ASGIApp, address: PageAddress) -> None:
        self._app, self._address, self._tickets = app, address, Tickets(address.token)
        self._hosts = {f"{name}:{address.port}" for name in (LOCALHOST, "localhost")}
        # Cookies belong to a host, whatever its port: the pages of several projects have one each.
        self._cookie = f"harness-page-{address.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, lead a browser in, or refuse the request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._answer(Request(scope))
        await (answer or self._app)(scope, receive, protected)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to a request that does not pass, or that brings the token; None for one that passes."""
        headers = request.headers
        if headers.get("host", "") not in self._hosts or not self._is_own(headers):
            return _refused("This page does not answer other web pages.", _PRINTED)
        token, ticket = request.query_params.get("token"), request.query_params.get("ticket")
        entering = request.url.path == "/" and request.method in _SAFE
        if entering and (self._admits(token or "") or (ticket is not None and self._tickets.take(ticket))):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self._cookie, self._address.token, httponly=True, samesite="strict", path="/")
            return answer
        if not (self._admits(self._cookie_in(headers)) or self._admits(_bearer_in(headers))):
            what = "This page needs its token" if token is None else "The token in this address is not the page's"
            what = what if ticket is None else "This address was for once, and for a minute"
            return _refused(f"{what}.", _PRINTED)
        if request.method not in _SAFE and not _equal(headers.get("x-page-token", ""), self._address.post_token):
            return _refused("This request did not come from the page.", "Reload the page, and try again.")
        return None

    def _is_own(self, headers: Headers) -> bool:
        """Return whether a request comes from this page, or from a program that is no browser."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts}:
            return False
        # Whoever follows a link to the page comes from elsewhere; without a cookie, that ends at the refusal.
        return site in {"same-origin", "none"} or headers.get("sec-fetch-mode") == "navigate"

    def _admits(self, token: str) -> bool:
        return _equal(token, self._address.token)

    def _cookie_in(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""


def _bearer_in(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _refused(what: str, remedy: str) -> Response:
    return HTMLResponse(_REFUSED.format(what=what, remedy=remedy), 403)
