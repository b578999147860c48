"""Pages in headless Chromium: what a user sees there, and what a page must never do."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

from harness.bundle import BUNDLE

# Debian's and Ubuntu's name, and Google's two; the Makefile and .ci/run look for the same ones.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A name that is no address of this machine is not even looked up.
_OPTIONS = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-gpu", "--force-color-profile=srgb")
_LOCAL_SCHEMES, _LOCAL_HOSTS = {"about", "blob", "data", "file"}, {"127.0.0.1", "localhost"}
_AXE = "web/node_modules/axe-core/axe.min.js"
WIDE, NARROW = (1400, 900), (400, 800)
WITHIN_MS = 60_000
expect.set_options(timeout=WITHIN_MS)


def installed_browser() -> str | None:
    """The path of a browser; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def running_browser(executable):
    """A browser process."""
    # Chromium's sandbox needs a user other than root.
    options = [*_OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        try:
            yield browser
        finally:
            browser.close()


class Visits:
    """Opens pages, each in a context of its own, and collects what none of them may do.

    Args:
        browser: The browser process.
    """

    def __init__(self, browser):
        self._browser, self._contexts = browser, []
        self.console_errors: list[str] = []
        self.strangers: list[str] = []
        # What a test brings about on purpose, such as a server that is gone: parts of these errors' texts.
        self.expected: list[str] = []

    def open(self, url="", *, size=WIDE, theme="light"):
        """A new page of that size and theme."""
        width, height = size
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
        )
        context.set_default_timeout(WITHIN_MS)
        context.on("request", self._look_at_request)
        context.on("console", self._look_at_message)
        context.on("weberror", lambda error: self.console_errors.append(str(error.error)))
        self._contexts.append(context)
        page = context.new_page()
        if url:
            page.goto(url)
        return page

    def close(self):
        """Closes all pages, and fails the test if one of them has done what no page may do."""
        for context in self._contexts:
            context.close()
        errors = [text for text in self.console_errors if not any(part in text for part in self.expected)]
        assert not errors, f"errors in the browser's console: {errors}"
        assert not self.strangers, f"requests to others than this machine: {self.strangers}"

    def _look_at_request(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in _LOCAL_SCHEMES and parts.hostname not in _LOCAL_HOSTS:
            self.strangers.append(request.url)

    def _look_at_message(self, message):
        if message.type == "error":
            self.console_errors.append(f"{message.text} ({message.location.get('url', '')})")


def serious_findings(page):
    """What axe-core finds on a page that is serious or critical: one line for each rule and element."""
    # By the protocol, not by a <script>, which the page's policy would refuse.
    page.evaluate((BUNDLE / _AXE).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{finding['id']}: {node['target']} {json.dumps(node.get('failureSummary', ''))}"
        for finding in found["violations"]
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
    ]


def wider_than_window(page):
    """By how many pixels a page must be scrolled sideways; 0 if it need not be."""
    root = "document.documentElement"
    return page.evaluate(f"Math.max(0, {root}.scrollWidth - {root}.clientWidth)")


def is_built(static: Path) -> bool:
    """Whether the page's code has been bundled."""
    return (static / "page.js").is_file()
