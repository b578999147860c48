/** Which log lines are shown, and how. No element is touched here. */

/**
 * @import { LogLine } from "../shared/types.js"
 * @typedef {{ rank: string, text: string }} Filter `rank` is empty for all lines, a number, or `coordinator`.
 */

/** What stands beside a line already, or is the same in all lines of an attempt. */
const KNOWN = new Set(["rank", "run_id", "time", "request_id"]);

/** @param {unknown} value */
const isEmpty = value => typeof value === "object" && value !== null && Object.keys(value).length === 0;

/**
 * @param {LogLine} line
 * @param {Filter} filter
 */
export function matches(line, { rank, text }) {
  if (rank === "coordinator" && line.rank !== null) return false;
  if (rank !== "" && rank !== "coordinator" && line.rank !== Number(rank)) return false;
  return text === "" || line.text.toLowerCase().includes(text.toLowerCase());
}

/**
 * Return the lines that are not there yet: the server's answer and its stream of events overlap, and a stream that is
 * connected again begins with lines that it has sent.
 *
 * @param {LogLine[]} added
 * @param {LogLine[]} known
 */
export function unseen(added, known) {
  const seen = new Set(known.map(nameOf));
  return added.filter(line => !seen.has(nameOf(line)));
}

/** @param {LogLine} line */
const nameOf = line => `${line.at} ${line.request_id} ${line.text}`;

/**
 * Show an event's line as its name and its figures; any other line as it is.
 *
 * @param {string} text
 * @returns {{ event: string, rest: string }}
 */
export function readable(text) {
  if (!text.startsWith("{")) return { event: "", rest: text };
  /** @type {Record<string, unknown>} */
  let record;
  try {
    record = JSON.parse(text);
  } catch {
    return { event: "", rest: text };
  }
  const { event, ...others } = record;
  if (typeof event !== "string") return { event: "", rest: text };
  const rest = Object.entries(others)
    .filter(([key, value]) => !KNOWN.has(key) && value !== null && !isEmpty(value))
    .map(([key, value]) => `${key}=${shown(value)}`);
  return { event, rest: rest.join("  ") };
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, (_key, one) => rounded(one));
}

/** @param {unknown} value */
function rounded(value) {
  return typeof value === "number" && !Number.isInteger(value)
    ? Number(value.toPrecision(Math.abs(value) < 1e6 ? 6 : 12))
    : value;
}
