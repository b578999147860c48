/** One invocation, whole: its times, payload, answer, error, and the log lines of its request. */

import { getInvocation, ServerError } from "../shared/data.js";
import { el, fill } from "../shared/dom.js";
import { megabytes, milliseconds, NONE, plural, seconds } from "../shared/format.js";
import { runAddress } from "../shared/router.js";
import { TONES } from "./invocation-list.js";
import { coldSeconds, numberInStack, STATE_NAMES } from "./invocations-store.js";
import { pretty } from "./json-check.js";
import { clock } from "./lanes.js";
import { linesOf, logRows, onLines } from "./log-lines.js";
import { openReplay } from "./replay.js";

/** @import { Child } from "../shared/dom.js" */
/** @import { Invocation } from "../shared/types.js" */

/** Longer payloads and answers are shown in part. */
const LONGEST_SHOWN = 20_000;

/** @param {{ onClose: () => void }} options */
export function detailPanel({ onClose }) {
  /** @type {number|null} */
  let shown = null;
  /** @type {Invocation|null} */
  let current = null;
  const body = el("div", {});
  const lines = el("div", {});
  const element = el(
    "section",
    { class: "card detail", hidden: true, tabIndex: -1, "aria-label": "Invocation" },
    body,
    lines,
  );

  async function load() {
    const number = shown;
    if (number === null) return;
    try {
      const whole = await getInvocation(number);
      if (number !== shown) return;
      current = whole;
      fill(body, ...content(whole, onClose));
      drawLines();
    } catch (error) {
      if (number === shown && current === null) fill(body, ...missing(number, error, onClose));
    }
  }

  async function drawLines() {
    const invocation = current;
    if (!invocation) return;
    const found = await linesOf(invocation);
    if (invocation !== current) return;
    fill(
      lines,
      el("h3", {}, "Log of this request"),
      found.length
        ? logRows(found, { short: true })
        : el("p", { class: "empty" }, "It has printed nothing that is kept."),
    );
  }

  const stopLog = onLines(arrived => {
    if (current && arrived.some(line => line.request_id === current?.request_id)) drawLines();
  });

  return {
    element,
    /** @param {number|null} number */
    show(number) {
      element.hidden = number === null;
      if (number === shown) return;
      [shown, current] = [number, null];
      fill(body);
      fill(lines);
      load();
    },
    /** @param {Invocation[]} [records] Those that have changed; without them, any may have. */
    refresh(records) {
      if (shown !== null && (!records || records.some(one => one.number === shown))) load();
    },
    stop: stopLog,
  };
}

/** @param {number} number @param {unknown} error @param {() => void} onClose @returns {Child[]} */
function missing(number, error, onClose) {
  const gone = error instanceof ServerError && error.status === 404;
  const text = gone
    ? "It is not kept any more, or its stack is down. A stack keeps the last 1,000 invocations."
    : String(error instanceof Error ? error.message : error);
  return [head(`Invocation ${numberInStack(number)}`, [], onClose), el("p", { class: "notice" }, text)];
}

/** @param {string} title @param {Child[]} controls @param {() => void} onClose */
function head(title, controls, onClose) {
  const close = el(
    "button",
    { type: "button", "aria-label": "Close this invocation", onclick: onClose },
    "✕",
  );
  return el("header", {}, el("h2", {}, title), el("div", { class: "controls" }, controls, close));
}

/** @param {Invocation} one @param {() => void} onClose @returns {Child[]} */
function content(one, onClose) {
  const payload = textOf(one.payload);
  const again = el(
    "button",
    {
      type: "button",
      class: "main",
      onclick: () => openReplay({ function: one.function, payload, kind: one.kind }),
    },
    "Invoke again …",
  );
  return [
    head(`${one.function} #${numberInStack(one.number)}`, [again], onClose),
    el(
      "p",
      {},
      el("span", { class: `badge ${TONES[one.state]}` }, STATE_NAMES[one.state]),
      " ",
      ...where(one, payload),
    ),
    one.error &&
      el("p", { class: "notice bad" }, el("b", {}, one.error), one.error_message && `: ${one.error_message}`),
    figures(one),
    ...block("Payload", payload),
    one.ended_at !== null && block(one.error ? "Answer (the error)" : "Answer", textOf(one.answer)),
  ].flat();
}

/**
 * Tell why it waits, and which run it belongs to.
 *
 * @param {Invocation} one
 * @param {string} payload
 * @returns {Child[]}
 */
function where(one, payload) {
  const { run_id, rank } = fields(payload);
  const due =
    one.due_at !== null && one.due_at > Date.now() / 1000
      ? `The next attempt is due at ${clock(one.due_at)}. `
      : "";
  return [
    due,
    typeof run_id === "string" &&
      el(
        "a",
        { href: runAddress(run_id) },
        `Run ${run_id}${typeof rank === "number" ? `, rank ${rank}` : ""}`,
      ),
  ];
}

/** @param {string} payload @returns {{ run_id?: unknown, rank?: unknown }} */
function fields(payload) {
  try {
    const found = JSON.parse(payload);
    return found !== null && typeof found === "object" ? found : {};
  } catch {
    return {};
  }
}

/** @param {Invocation} one */
function figures(one) {
  const ended = one.ended_at !== null;
  const waited = (one.started_at ?? one.ended_at ?? Date.now() / 1000) - one.queued_at;
  const pairs = [
    ["Accepted", `${clock(one.queued_at, 3)}, as ${one.kind === "event" ? "an event" : "a request"}`],
    ["Waited", seconds(Math.max(0, waited))],
    ["Began", one.started_at === null ? NONE : clock(one.started_at, 3)],
    [
      "Cold start",
      one.cold
        ? `${seconds(coldSeconds(one))}, of it init ${milliseconds(one.init_ms)}`
        : "none, a warm environment",
    ],
    [
      "Took",
      ended && one.started_at !== null
        ? `${milliseconds(one.duration_ms)}, billed ${milliseconds(one.billed_ms)}`
        : NONE,
    ],
    ["Memory", one.used_mb ? `${megabytes(one.used_mb)} of ${megabytes(one.memory_mb)}` : NONE],
    ["Attempt", String(one.attempt)],
    ["Environment", one.environment || NONE],
    ["Request id", one.request_id],
  ].filter(([name]) => name !== "Cold start" || one.started_at !== null);
  return el(
    "dl",
    { class: "facts" },
    pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

/** @param {string} title @param {string} text @returns {Child[]} */
function block(title, text) {
  if (!text)
    return [
      el("h3", {}, title),
      el("p", { class: "empty" }, "Not kept: its stack is down, or has had 1,000 invocations since."),
    ];
  const long = text.length > LONGEST_SHOWN;
  const shown = long ? text.slice(0, LONGEST_SHOWN) : pretty(text);
  return [
    el("h3", {}, title),
    el("pre", { class: "text", tabIndex: 0, "aria-label": title }, shown),
    long &&
      el(
        "p",
        { class: "soft" },
        `The first ${LONGEST_SHOWN.toLocaleString("en")} of ${plural(text.length, "character")}.`,
      ),
  ];
}

/** @param {unknown} value The server sends texts; whatever else it may send is shown as JSON. */
function textOf(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
