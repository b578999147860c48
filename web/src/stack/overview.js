/** The stack, its functions, and the runs of this project. */

import { getState, subscribe } from "../shared/data.js";
import { card, el, fill } from "../shared/dom.js";
import { dateAndTime, NONE, plural, seconds } from "../shared/format.js";
import { liveTable } from "./live-table.js";
import { openReplay } from "./replay.js";
import { runsCard } from "./runs.js";

/** @import { State, Unmount } from "../shared/types.js" */

/** What a user types to get a stack. */
const START = "harness up";

/**
 * @param {HTMLElement} place
 * @returns {Unmount}
 */
export function mountOverview(place) {
  const title = el("h1", {}, "Overview");
  const [stack, functions, runs] = [stackCard(), functionsCard(), runsCard()];
  const grid = el("div", { class: "grid", hidden: true }, stack.element, functions.element, runs.element);
  const waiting = el("p", { class: "empty" }, "Asking the page's server …");
  fill(place, title, waiting, grid);

  /** @param {State} state */
  const show = state => {
    title.textContent = state.project || "Overview";
    document.title = `${state.project || "Overview"} – Lambda harness`;
    stack.update(state);
    functions.update(state);
    runs.update(state.runs);
    grid.hidden = false;
    waiting.hidden = true;
  };
  const ask = () => {
    getState().then(show, error => {
      if (grid.hidden) waiting.textContent = error.message;
    });
  };
  ask();
  const stops = [
    subscribe("state", show),
    subscribe("connection", connection => connection === "live" && ask()),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** The services of the stack, or how to get one. */
function stackCard() {
  const badge = el("span", { class: "badge" });
  const since = el("span", { class: "soft" });
  const services = liveTable(
    "Services of the stack",
    [
      { title: "Service", cell: service => service.name },
      {
        title: "State",
        cell: service =>
          el(
            "span",
            { class: `badge ${service.healthy ? "good" : "bad"}` },
            service.healthy ? "answers" : "no answer",
          ),
      },
      { title: "Address", cell: service => el("code", {}, service.endpoint) },
    ],
    { key: (/** @type {NonNullable<State["stack"]>["services"][number]} */ service) => service.name },
  );
  const none = el(
    "p",
    { class: "empty" },
    "No stack is up. ",
    el("code", {}, START),
    " starts one, and so does every run for itself. This page shows it as soon as it is there.",
  );
  const element = card("Stack", { class: "half", controls: [badge] }, since, services.element, none);
  return {
    element,
    /** @param {State} state */
    update({ stack }) {
      const up = stack?.up ?? false;
      const well = up && stack?.services.every(service => service.healthy);
      badge.textContent = up ? (well ? "up" : "up, but not well") : "down";
      badge.className = `badge ${up ? (well ? "good" : "warn") : ""}`;
      since.textContent = up && stack ? `In ${stack.mode} mode since ${dateAndTime(stack.started_at)}.` : "";
      since.hidden = services.element.hidden = !up;
      none.hidden = up;
      services.update(stack?.services ?? []);
    },
  };
}

/** Functions with their environments. */
function functionsCard() {
  const list = liveTable(
    "Functions and their environments",
    [
      { title: "Function", cell: one => el("b", { class: "name" }, one.name) },
      { title: "Version", cell: one => one.version || NONE, class: "wide" },
      {
        title: "Memory",
        cell: one => `${one.memory_mb.toLocaleString("en")} MB`,
        number: true,
        class: "wide",
      },
      { title: "Timeout", cell: one => seconds(one.timeout_s), number: true, class: "wide" },
      { title: "Environments", cell: one => environments(one.environments) },
      {
        title: "Invoke",
        unseen: true,
        cell: one =>
          el(
            "button",
            {
              type: "button",
              "aria-label": `Invoke ${one.name}`,
              onclick: () => openReplay({ function: one.name, payload: "{}", kind: "request" }),
            },
            "Invoke …",
          ),
      },
    ],
    { key: (/** @type {State["functions"][number]} */ one) => one.name },
  );
  const none = el("p", { class: "empty" });
  const element = card("Functions", { class: "half" }, list.element, none);
  return {
    element,
    /** @param {State} state */
    update({ functions, stack }) {
      list.element.hidden = functions.length === 0;
      none.hidden = functions.length > 0;
      none.textContent = stack?.up
        ? "This stack has no functions yet. harness run and harness dev create them."
        : "Functions are shown while a stack is up.";
      list.update(functions);
    },
  };
}

/** Environments of a function as squares, in words as well: at most that many squares of each state. */
const MOST_SQUARES = 16;

/** @param {State["functions"][number]["environments"]} counts */
function environments({ cold, busy, idle }) {
  const kinds = /** @type {const} */ ([
    ["busy", busy, "busy"],
    ["warm", idle, "warm"],
    ["cold", cold, "starting"],
  ]);
  const present = kinds.filter(([, count]) => count > 0);
  if (present.length === 0) return el("span", { class: "soft" }, "none");
  const squares = present.flatMap(([kind, count]) =>
    Array.from({ length: Math.min(count, MOST_SQUARES) }, () => el("i", { class: `square ${kind}` })),
  );
  return el(
    "span",
    { class: "environments" },
    el("span", { class: "squares", "aria-hidden": "true" }, squares),
    el(
      "span",
      { title: plural(busy + idle + cold, "environment") },
      present.map(([, count, word]) => `${count} ${word}`).join(", "),
    ),
  );
}
