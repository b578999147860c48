"""The page in headless Chromium: one browser process per module of tests, and a context per page."""

import pytest

from tests.support.browser import Visits, installed_browser, running_browser


@pytest.fixture(scope="module")
def chromium():
    """A browser process; without a browser, no test of the page says anything.

    No longer than a module, because asyncio.run() fails in a thread as long as playwright's loop is there.
    """
    if not (executable := installed_browser()):
        pytest.skip("NOT TESTED, for want of a browser; install Debian's `chromium`")
    with running_browser(executable) as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """Opens pages; fails the test if one of them logs an error or sends a request to anywhere but this machine."""
    visits = Visits(chromium)
    try:
        yield visits
    finally:
        visits.close()
