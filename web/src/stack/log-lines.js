/** Lines of functions' logs: the last ones that this page has received, for whoever shows them. */

import { getLog, isReport, subscribe } from "../shared/data.js";
import { el } from "../shared/dom.js";
import { clock } from "./lanes.js";
import { readable, urgency } from "./log-text.js";

/** @import { Invocation, LogLine } from "../shared/types.js" */

const MOST = 5_000;

/** @type {LogLine[]} */
let lines = [];
/** @type {Set<(arrived: LogLine[]) => void>} */
const listeners = new Set();
/** Whether the server may send again what it has sent: it begins with its last lines for every connection. */
let again = false;

/** @param {LogLine} line */
const identity = line => `${line.at} ${line.request_id} ${line.function} ${line.text}`;

/** @param {LogLine[]} arrived */
function take(arrived) {
  const known = again ? new Set(lines.map(identity)) : null;
  const fresh = known ? arrived.filter(line => !known.has(identity(line))) : arrived;
  again = false;
  lines.push(...fresh);
  if (lines.length > MOST * 1.2) lines = lines.slice(-MOST);
  for (const listener of listeners) listener(fresh);
}

if (!isReport) {
  subscribe("connection", connection => {
    again ||= connection === "lost";
  });
  subscribe("log", take);
}

/**
 * Call a function with lines as they arrive.
 *
 * @param {(arrived: LogLine[]) => void} listener
 * @returns {() => void} Stops it.
 */
export function onLines(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** @returns {LogLine[]} The oldest first. */
export const receivedLines = () => lines;

/**
 * Return the lines of an invocation's request.
 *
 * @param {Invocation} invocation
 * @returns {Promise<LogLine[]>}
 */
export async function linesOf({ function: name, request_id }) {
  const received = lines.filter(line => line.request_id === request_id);
  try {
    const kept = await getLog({ function: name, request_id });
    return kept.length >= received.length ? kept : received;
  } catch {
    return received;
  }
}

/**
 * @param {LogLine[]} shown
 * @param {{ short?: boolean }} [options] `short` leaves out which function and rank it is.
 */
export function logRows(shown, { short = false } = {}) {
  return el(
    "ol",
    { class: "lines", tabIndex: 0, "aria-label": "Log lines" },
    shown.map(line => logRow(line, short)),
  );
}

/** @param {LogLine} line @param {boolean} short */
export function logRow(line, short = false) {
  const who = line.rank === null || line.rank === undefined ? line.function : `${line.function} ${line.rank}`;
  return el(
    "li",
    { class: urgency(line.text) || undefined },
    el("time", {}, clock(line.at, 3)),
    !short && el("b", {}, who),
    el("span", {}, readable(line.text)),
  );
}
