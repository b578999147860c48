"""Who may talk to the page's server: whoever has the token, and no web page of strangers."""

import asyncio
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from harness.page.access import PageAccess
from harness.page.address import PageAddress, address_file, load_address
from harness.page.tickets import Tickets, new_ticket

ADDRESS = PageAddress(port=4711, token="the-token", pid=1, started=1)
HERE = "http://127.0.0.1:4711"
COOKIE = {"Cookie": "harness-page-4711=the-token"}


def ask(path="/api/state", method="GET", **headers):
    """Return the answer to one request; the application answers everything that passes."""

    async def everything(_request):
        return PlainTextResponse("passed")

    async def send():
        app = Starlette(routes=[Route("/{path:path}", everything, methods=["GET", "POST"])])
        transport = httpx.ASGITransport(app=PageAccess(app, ADDRESS))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


def test_the_printed_address_sets_a_cookie_and_leads_to_the_page():
    """Only this server's scripts-free cookie, for requests that the page itself makes; the token leaves the address."""
    answer = ask("/?token=the-token")

    assert (303, "/") == (answer.status_code, answer.headers["location"])
    assert "harness-page-4711=the-token; HttpOnly; Path=/; SameSite=strict" == answer.headers["set-cookie"]
    assert 200 == ask("/", **COOKIE).status_code


@pytest.mark.parametrize(
    ("path", "headers", "words"),
    [
        ("/", {}, "This page needs its token."),
        ("/api/state", {}, "This page needs its token."),
        ("/page.js", {"Cookie": "harness-page-4711=another"}, "This page needs its token."),
        ("/api/state", {"Cookie": "harness-page-4712=the-token"}, "This page needs its token."),
        ("/api/state", {"Authorization": "Bearer another"}, "This page needs its token."),
        ("/?token=another", {}, "The token in this address is not the page's."),
        ("/api/state?token=the-token", {}, "The token in this address is not the page's."),
        ("/", {**COOKIE, "Host": "evil.example:4711"}, "This page does not answer other web pages."),
        ("/", {**COOKIE, "Host": "127.0.0.1:4712"}, "This page does not answer other web pages."),
        ("/?token=the-token", {"Host": "rebound.example"}, "This page does not answer other web pages."),
        ("/", {**COOKIE, "Origin": "http://evil.example"}, "This page does not answer other web pages."),
        ("/", {**COOKIE, "Origin": "null"}, "This page does not answer other web pages."),
        ("/", {**COOKIE, "Origin": "http://127.0.0.1:4712"}, "This page does not answer other web pages."),
        ("/page.js", {**COOKIE, "Sec-Fetch-Site": "same-site"}, "This page does not answer other web pages."),
    ],
)
def test_a_stranger_is_refused_in_plain_words(path, headers, words):
    """Without the token or with a wrong one, by another name or from another page; the remedy is said."""
    answer = ask(path, **headers)

    assert 403 == answer.status_code
    assert words in answer.text
    assert "harness page" in answer.text
    assert "the-token" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-Page-Token": "the-token"}, 403),
        ({"X-Page-Token": ADDRESS.post_token}, 200),
        ({"X-Page-Token": ADDRESS.post_token, "Origin": HERE}, 200),
        ({"X-Page-Token": ADDRESS.post_token, "Origin": "http://evil.example"}, 403),
    ],
)
def test_a_change_needs_what_the_page_alone_knows(headers, status):
    """A cookie goes along with any request; the header does not."""
    assert status == ask("/api/invoke", "POST", **COOKIE, **headers).status_code


def test_the_address_for_a_browser_admits_once():
    """What other users read in the list of processes is of no use to them: it holds no token, and is used up."""
    place = ADDRESS.url_for_once.removeprefix(HERE)
    access = PageAccess(Starlette(), ADDRESS)

    async def twice():
        transport = httpx.ASGITransport(app=access)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            entered = await client.get(place)
            client.cookies.clear()
            return entered, await client.get(place)

    first, second = asyncio.run(twice())
    assert "the-token" not in place
    assert (303, "/") == (first.status_code, first.headers["location"])
    assert 403 == second.status_code
    assert "This address was for once, and for a minute." in second.text


def test_an_address_for_once_ends_and_cannot_be_forged(monkeypatch):
    """Another end, or another token, is another ticket."""
    tickets, ticket = Tickets("the-token"), new_ticket("the-token")
    end, _, rest = ticket.partition("-")

    assert not tickets.take(f"{int(end) + 1}-{rest}")
    assert not tickets.take(new_ticket("another"))
    assert not tickets.take("")
    monkeypatch.setattr(time, "time", lambda: int(end) + 1.0)
    assert not tickets.take(ticket)


def test_a_program_sends_the_token_as_a_bearer():
    """As Prometheus does; by either name of this machine."""
    for host in ("127.0.0.1:4711", "localhost:4711"):
        assert 200 == ask("/metrics", Authorization="Bearer the-token", Host=host).status_code


@pytest.mark.parametrize("headers", [{}, COOKIE])
def test_every_answer_forbids_what_the_page_does_not_need(headers):
    """No frame, no cache, no foreign script, and no address that leaves with a link."""
    given = ask(**headers).headers

    assert given["content-security-policy"].startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in given["content-security-policy"]
    assert ("nosniff", "no-store", "no-referrer") == tuple(
        given[name] for name in ("x-content-type-options", "cache-control", "referrer-policy")
    )


@pytest.mark.parametrize(
    "record", ["", "{", '{"token": ""}', '{"token": "t", "port": -1}', '{"token": "t", "port": 65536}']
)
def test_a_damaged_record_of_the_address_is_as_good_as_none(record, tmp_path):
    """The next server makes a new one."""
    address_file(tmp_path).write_text(record)

    assert load_address(tmp_path) is None
