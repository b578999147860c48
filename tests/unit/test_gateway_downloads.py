"""Links to packages: who may use them, and for how long."""

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from harness.gateway.downloads import PREFIX, Downloads


@pytest.fixture
def links(tmp_path: Path) -> Downloads:
    """Links to files of a folder."""
    return Downloads(tmp_path, "secret")


def opened(links: Downloads, link: str) -> Path | None:
    """Return the file that a link leads to."""
    parts = urlsplit(link)
    query = parse_qs(parts.query)
    return links.file_of(unquote(parts.path).removeprefix(PREFIX), query["Expires"][0], query["Signature"][0])


def test_a_link_leads_to_its_file_until_it_expires(
    links: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link holds for ten minutes."""
    file = tmp_path / "layers" / "a name" / "1.zip"
    monkeypatch.setattr("harness.gateway.downloads.time.time", lambda: 1000.0)
    link = links.location(file, "http://127.0.0.1:1")
    monkeypatch.setattr("harness.gateway.downloads.time.time", lambda: 1599.0)
    assert opened(links, link) == file
    monkeypatch.setattr("harness.gateway.downloads.time.time", lambda: 1601.0)
    assert opened(links, link) is None


def test_a_changed_link_leads_nowhere(links: Downloads, tmp_path: Path) -> None:
    """Neither another file nor a later end can be had by changing a link."""
    link = links.location(tmp_path / "one", "http://127.0.0.1:1")
    assert opened(links, link) == tmp_path / "one"
    assert opened(links, link.replace("one", "two")) is None
    assert opened(links, link.replace("Expires=", "Expires=9")) is None
    assert opened(links, link.replace("Signature=", "Signature=0")) is None
