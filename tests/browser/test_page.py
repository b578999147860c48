"""The live page as its readers use it: a real stack, the page's real server, headless Chromium."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import NARROW, WIDE, serious_findings, wider_than_window
from tests.support.site import JOB, running_site

# Colours differ by theme, and places by width; the other two combinations add little.
LOOKS = [
    (WIDE, "light"),
    (NARROW, "dark"),
    pytest.param(WIDE, "dark", marks=pytest.mark.slow),
    pytest.param(NARROW, "light", marks=pytest.mark.slow),
]
RECORDED = Path(__file__).parents[1] / "fixtures_runs"
HURT = "sample-killed-rank"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A project with a stack, a function that was invoked three times, and two runs, one of which lost a rank."""
    with running_site(tmp_path_factory.mktemp("site") / "my-project") as site:
        site.harness("run", *JOB, "--n-epochs", "2", "--run-id", "calm")
        shutil.copytree(RECORDED / HURT, site.root / ".harness" / "runs" / HURT)
        site.harness("invoke", "greet", "--payload", '{"name": "Ada"}')
        site.harness("invoke", "greet", "--payload", '{"name": "Grace"}')
        site.harness("invoke", "greet", "--payload", '{"name": "nobody"}', succeeds=False)
        yield site


def view(site, hash_):
    """The address of a view; the token comes first."""
    return f"{site.address}#/{hash_}"


def test_the_overview_shows_the_stack_its_functions_and_both_runs(site, browser):
    """Every service answers, the function has its environment, and runs differ in what was chosen for them."""
    page = browser.open(view(site, ""))
    expect(page.get_by_role("heading", name="my-project")).to_be_visible()
    stack = page.get_by_role("region", name="Services of the stack")
    expect(stack.get_by_text("answers")).not_to_have_count(0)
    expect(stack.get_by_text("no answer")).to_have_count(0)
    expect(page.get_by_role("row", name="greet")).to_contain_text("1 warm")
    runs = page.get_by_role("region", name="List of runs")
    expect(runs.get_by_role("row", name=HURT)).to_contain_text("lr 0.3")

    page.get_by_label("Runs with these words").fill("lr=0.3")
    expect(runs.get_by_role("link")).to_have_text([HURT])
    page.get_by_label("Runs with these words").fill("")
    runs.get_by_role("button", name="Run", exact=True).click()
    expect(runs.get_by_role("link")).to_have_text(["calm", HURT])
    runs.get_by_role("button", name="Run", exact=True).click()
    expect(runs.get_by_role("link")).to_have_text([HURT, "calm"])


def test_two_runs_are_chosen_and_compared(site, browser):
    """Two ticks and a click lead to both runs side by side, with what differs."""
    page = browser.open(view(site, ""))
    compare = page.get_by_role("link", name="Compare two")
    expect(compare).to_be_disabled()
    page.get_by_label("Compare calm").check()
    page.get_by_label(f"Compare {HURT}").check()
    compare.click()
    expect(page).to_have_url(f"{site.address.partition('?')[0]}#/compare/calm/{HURT}")
    expect(page.get_by_role("heading", name="What differs in the jobs")).to_be_visible()


def test_a_killed_rank_shows(site, browser):
    """The run's page tells the kill, and what it cost."""
    page = browser.open(view(site, f"runs/{HURT}"))
    expect(page.get_by_text("kill rank=2 round=40").first).to_be_visible()


@pytest.mark.slow
def test_a_rank_that_is_killed_now_shows(site, browser):
    """A run on a stack of its own is followed as well: the kill appears while the run goes on."""
    page = browser.open(view(site, ""))
    fault = ("--fault", "kill rank=1 round=200", "--retry-time-scale", "0.01")
    with site.run_under_way("killed-now", "--n-epochs", "100000", "--lr", "0.0001", *fault):
        # Its stack has to start first.
        page.get_by_role("link", name="killed-now").click(timeout=60_000)
        expect(page.get_by_text("kill rank=1 round=200").first).to_be_visible()


def test_a_run_is_started_and_its_curves_move(site, browser):
    """A run that starts while the page is open is listed; its curves go on without a reload."""
    page = browser.open(view(site, ""))
    expect(page.get_by_role("link", name="calm")).to_be_visible()
    with site.run_under_way("under-way", "--n-epochs", "100000", "--lr", "0.0001"):
        row = page.get_by_role("row", name="under-way")
        expect(row).to_contain_text("running")
        page.get_by_role("link", name="under-way").click()
        curves = page.get_by_role("img", name="loss by epoch")
        before = curves.get_attribute("aria-label")
        expect(curves).not_to_have_attribute("aria-label", before)
    expect(page.get_by_text("stopped").or_(page.get_by_text("unfinished")).first).to_be_visible()


FEED = """
window.fetches = 0;
const real = fetch;
window.fetch = (path, ...rest) => { fetches += /api\\/runs\\/[^/]*$/.test(path); return real(path, ...rest); };
window.EventSource = class {
    static CLOSED = 2;
    listeners = {};
    constructor() { window.feed = this; }
    addEventListener(kind, listener) { this.listeners[kind] = listener; }
    send(kind, data) { this.listeners[kind]({ data: JSON.stringify(data) }); }
};
"""
BUSY_RUN = """run_id => {
    window.items = 0;
    new MutationObserver(changes => { for (const one of changes) items += one.addedNodes.length; })
        .observe(document.querySelector(".run-log"), { childList: true });
    window.fetches = 0;
    const line = n => ({ at: 2e9 + n, function: "worker", request_id: "r", rank: 0, run_id, text: `line ${n}` });
    for (let n = 0; n < 1000; n += 5) {
        feed.send("log", [line(n), line(n + 1), line(n + 2), line(n + 3), line(n + 4)]);
        feed.send("run", { run_id });
    }
}"""


def test_a_run_that_prints_a_lot_is_drawn_seldom(site, browser):
    """Two hundred messages are one or two requests and redraws, and a line of the log is drawn once."""
    page = browser.open()
    page.add_init_script(FEED)
    page.goto(view(site, f"runs/{HURT}"))
    lines = page.get_by_role("list", name="Log lines").get_by_role("listitem")
    lines.first.scroll_into_view_if_needed()
    with page.expect_response(f"**/api/runs/{HURT}"):
        page.evaluate(BUSY_RUN, HURT)
    expect(lines.last).to_contain_text("line 999")
    assert page.evaluate("items") == 1000
    assert page.evaluate("fetches") <= 2


def test_invocations_are_filtered_and_shown_whole(site, browser):
    """Those that failed are left by the filter; one of them has its payload, error and log lines."""
    page = browser.open(view(site, "invocations"))
    rows = page.get_by_role("region", name="Invocations").get_by_role("row")
    page.get_by_label("Invocations of this function").select_option("greet")
    expect(rows).to_have_count(1 + 3)
    page.get_by_label("Invocations in this state").select_option("unwell")
    expect(rows).to_have_count(1 + 1)
    page.get_by_role("button", name="Show invocation").click()
    detail = page.get_by_role("region", name="Invocation", exact=True)
    expect(detail.get_by_label("Payload")).to_contain_text('"name": "nobody"')
    expect(detail.get_by_text("ValueError").first).to_be_visible()
    expect(detail.get_by_label("Log lines")).to_contain_text("greeting nobody")
    page.reload()
    expect(detail.get_by_label("Payload")).to_contain_text('"name": "nobody"')


def test_an_invocation_is_replayed_with_another_payload(site, browser):
    """The editor begins with the old payload, refuses what is no JSON, and shows the answer to the new one."""
    page = browser.open(view(site, "invocations"))
    page.get_by_label("Invocations with this text").fill("ValueError")
    page.get_by_role("button", name="Show invocation").click()
    page.get_by_role("button", name="Invoke again").click()
    editor = page.get_by_label("Payload, in JSON")
    expect(editor).to_have_value('{\n  "name": "nobody"\n}')
    editor.fill('{"name": Ada}')
    expect(page.get_by_text("Line 1, column 10")).to_be_visible()
    expect(page.get_by_role("button", name="Invoke", exact=True)).to_be_disabled()
    editor.fill('{"name": "Edsger"}')
    page.get_by_role("button", name="Invoke", exact=True).click()
    expect(page.get_by_role("dialog").get_by_label("Answer", exact=True)).to_contain_text("Hello, Edsger!")
    page.get_by_role("link", name="Show the invocation").click()
    expect(page.get_by_role("region", name="Invocation", exact=True)).to_contain_text("Edsger")


def test_the_timeline_is_moved_by_keys(site, browser):
    """Up and down choose invocations, and 0 shows all of them: the same as the buttons do."""
    page = browser.open(view(site, "invocations"))
    # Without invocations in its window, which the first one may have left, the timeline takes no keys.
    expect(page.get_by_role("button", name="Show invocation")).not_to_have_count(0)
    page.get_by_role("button", name="All", exact=True).click()
    timeline = page.get_by_role("img", name="Timeline of")
    timeline.press("0")
    timeline.press("ArrowUp")
    expect(page.get_by_role("region", name="Invocation", exact=True)).to_contain_text("Accepted")
    timeline.press("ArrowLeft")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    timeline.press("f")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")


def test_the_log_is_filtered_and_paused(site, browser):
    """A line arrives while the page is open; other functions' lines are left out, and a pause counts what it misses."""
    page = browser.open(view(site, "log"))
    lines = page.get_by_role("list", name="Log lines")
    page.get_by_label("Lines with this text").fill("greeting")
    site.harness("invoke", "greet", "--payload", '{"name": "Alan"}')
    expect(lines).to_contain_text("greeting Alan")
    page.get_by_role("button", name="Pause").click()
    site.harness("invoke", "greet", "--payload", '{"name": "<b>Barbara</b>"}')
    expect(page.get_by_role("button", name="Paused, 1 new line")).to_be_visible()
    expect(lines).not_to_contain_text("Barbara")
    page.get_by_role("button", name="Paused").click()
    expect(lines).to_contain_text("greeting <b>Barbara</b>")


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_every_view_is_accessible_and_fits(site, browser, size, theme):
    """axe-core finds nothing serious in any view, and no view must be scrolled sideways."""
    page = browser.open(view(site, ""), size=size, theme=theme)
    found = {}
    for name, ready in (
        ("", "td .badge"),
        ("invocations/1", ".detail pre"),
        ("log", "ol li"),
        (f"runs/{HURT}", "canvas"),
        (f"compare/calm/{HURT}", "text=What differs in the jobs"),
    ):
        page.evaluate(f"location.hash = '#/{name}'")
        page.locator(ready).first.wait_for()
        found[name] = (serious_findings(page), wider_than_window(page))
    assert found == dict.fromkeys(found, ([], 0))


def test_the_page_comes_back_after_the_stack_was_restarted(site, browser):
    """While the stack is down, the page says so and keeps the runs; it shows the next stack without a reload."""
    page = browser.open(view(site, ""))
    badge = page.locator("section", has=page.get_by_role("heading", name="Stack")).locator("header .badge")
    expect(badge).to_have_text("up")
    site.harness("down")
    expect(badge).to_have_text("down")
    expect(page.get_by_role("link", name="calm")).to_be_visible()
    site.harness("up")
    expect(badge).to_have_text("up")
    site.harness("invoke", "greet", "--payload", '{"name": "Niklaus"}')
    page.get_by_role("link", name="Invocations").click()
    expect(page.get_by_role("region", name="Invocations").get_by_role("row", name="greet")).not_to_have_count(0)


def test_the_page_comes_back_after_its_server_was_restarted(site, browser):
    """Without its server the page says how to get it back, and needs no reload when it is there again."""
    # Which one depends on what the browser was about when the server went.
    browser.expected.append("net::ERR_")
    page = browser.open(view(site, ""))
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    site.end_serving()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("The page's server does not answer. ")
    site.serve()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(notice).to_be_hidden()


def test_a_page_without_its_token_says_where_the_address_is(site, browser):
    """Whoever comes without the token reads which command prints the address."""
    browser.expected.append("403")
    page = browser.open(site.address.partition("?")[0])
    expect(page.get_by_role("heading")).to_have_text("This page needs its token.")
    expect(page.get_by_text("harness page")).to_be_visible()
