"""What fails a test of the page, wherever it happens."""

import pytest

from tests.support.browser import Visits, wider_than_window

STRANGER = "https://example.com/pixel.png"


def test_a_request_to_a_stranger_and_an_error_in_the_console_are_noticed(chromium):
    """A page that asks another machine for a picture and logs an error fails the test that opened it."""
    visits = Visits(chromium)
    visits.open(f"data:text/html,<img alt='' src='{STRANGER}'><script>console.error('broken')</script>")
    with pytest.raises(AssertionError, match="broken"):
        visits.close()
    assert visits.strangers == [STRANGER]


def test_a_page_wider_than_its_window_is_noticed(browser):
    """A box wider than the window must be scrolled sideways, by as many pixels as it is wider."""
    page = browser.open("data:text/html,<body style='margin: 0'><div>narrow</div>")
    assert wider_than_window(page) == 0
    page.evaluate("document.body.style.width = '1500px'")
    assert wider_than_window(page) == 100
