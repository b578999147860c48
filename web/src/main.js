/** The page: a bar on top, and below it the view that the address names. */

import "uplot/dist/uPlot.min.css";
import "./page.css";
import "./stack/stack.css";
import "./run.css";
import { mountCompare } from "./run/compare.js";
import { mountRun } from "./run/view.js";
import {
  currentConnection,
  follow,
  isReport,
  reportedLicences,
  reportedViews,
  subscribe,
} from "./shared/data.js";
import { el, fill } from "./shared/dom.js";
import { compareAddress, readRoute, runAddress } from "./shared/router.js";
import { chooseTheme, chosenTheme, startTheme } from "./shared/theme.js";
import { connectionNotice } from "./stack/connection.js";
import { mountInvocations } from "./stack/invocations.js";
import { mountLog } from "./stack/log.js";
import { mountOverview } from "./stack/overview.js";

/**
 * @import { Route } from "./shared/router.js"
 * @import { Theme } from "./shared/theme.js"
 * @import { Unmount } from "./shared/types.js"
 */

/**
 * Mount the view of a route.
 *
 * @param {HTMLElement} place
 * @param {Route} route
 * @returns {Unmount}
 */
function mount(place, route) {
  switch (route.name) {
    case "run":
      return mountRun(place, route.id);
    case "compare":
      return mountCompare(place, route.ids);
    case "invocations":
      return mountInvocations(place, route.number);
    case "log":
      return mountLog(place);
    case "overview":
      return mountOverview(place);
    default:
      fill(
        place,
        el("h1", {}, "No such view"),
        el(
          "p",
          {},
          `The address ${route.hash} names nothing here. `,
          el("a", { href: "#/" }, "Go to the overview."),
        ),
      );
      return () => {};
  }
}

/** A report has no overview: it begins with its run, or with its two runs side by side. */
function reportAddress() {
  const ids = reportedViews().map(view => view.run_id);
  return ids.length === 2 ? compareAddress(ids[0], ids[1]) : runAddress(ids[0]);
}

function links() {
  if (!isReport)
    return [
      el("a", { href: "#/" }, "Overview"),
      el("a", { href: "#/invocations" }, "Invocations"),
      el("a", { href: "#/log" }, "Log"),
    ];
  const ids = reportedViews().map(view => view.run_id);
  return [
    ids.length === 2 && el("a", { href: compareAddress(ids[0], ids[1]) }, "Compared"),
    ...ids.map(id => el("a", { href: runAddress(id) }, id)),
  ];
}

const CONNECTIONS = {
  connecting: "Connecting …",
  live: "Live",
  lost: "Not connected",
};

function connectionSign() {
  const text = el("span", {});
  const sign = el("span", { class: "connection", role: "status" }, el("i", { "aria-hidden": "true" }), text);
  const update = () => {
    sign.dataset.connection = currentConnection();
    text.textContent = CONNECTIONS[currentConnection()];
    sign.title =
      currentConnection() === "lost"
        ? "The page's server does not answer. What you see is the last that it said; `harness page` starts it again."
        : "";
  };
  update();
  subscribe("connection", update);
  return sign;
}

function themeChoice() {
  const select = el(
    "select",
    { onchange: () => chooseTheme(/** @type {Theme} */ (select.value)) },
    el("option", { value: "system" }, "System"),
    el("option", { value: "light" }, "Light"),
    el("option", { value: "dark" }, "Dark"),
  );
  select.value = chosenTheme();
  return el("label", { class: "theme" }, el("span", {}, "Theme"), select);
}

/** @param {Node} node */
function skipTo(node) {
  return el(
    "a",
    {
      class: "skip",
      href: "#main",
      onclick: (/** @type {Event} */ event) => {
        event.preventDefault();
        /** @type {HTMLElement} */ (node).focus();
      },
    },
    "Skip to the content",
  );
}

function start() {
  startTheme();
  const main = el("main", { id: "main", tabIndex: -1 });
  const nav = el("nav", { "aria-label": "Views" }, links());
  document.body.append(
    skipTo(main),
    el(
      "header",
      { class: "bar" },
      el("a", { class: "brand", href: isReport ? reportAddress() : "#/" }, "Lambda harness"),
      nav,
      el(
        "div",
        { class: "right" },
        isReport ? el("span", { class: "connection" }, "Report") : connectionSign(),
        themeChoice(),
      ),
    ),
    connectionNotice(),
    main,
    el("footer", {}, footer()),
    el("div", { id: "announcer", class: "unseen", "aria-live": "polite" }),
  );

  let unmount = () => {};
  const show = () => {
    if (isReport && readRoute(location.hash).name === "overview") {
      location.replace(reportAddress());
      return;
    }
    unmount();
    fill(main);
    unmount = mount(main, readRoute(location.hash));
    for (const link of nav.querySelectorAll("a"))
      if (isCurrent(link.getAttribute("href") ?? "")) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
  };
  addEventListener("hashchange", () => {
    show();
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  show();
  follow();
}

/** @param {string} href Whether it leads to the view that is shown; an invocation is one of the invocations. */
function isCurrent(href) {
  const hash = location.hash || "#/";
  return href === hash || (href.length > 2 && hash.startsWith(`${href}/`));
}

function footer() {
  const title = "Licences of what this page is made with";
  if (!isReport) return [el("a", { href: "LICENSES.txt" }, title)];
  return [el("details", {}, el("summary", {}, title), el("pre", {}, reportedLicences()))];
}

start();
