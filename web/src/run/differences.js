/** What differs between two runs. No element is touched here. */

import {
  bytes,
  count,
  dollars,
  figure,
  megabytes,
  milliseconds,
  NONE,
  percent,
  plain,
  seconds,
} from "../shared/format.js";

/**
 * @import { RunView } from "../shared/types.js"
 * @typedef {{ name: string, a: string, b: string, change: string, verdict: "better" | "worse" | "" }} Difference
 */

/** Keys of a job that are another run's by their nature. */
const OWN = new Set(["run_id", "port", "host", "result_bucket"]);

/** A change of less is noise of a machine. */
const NOISE = 0.05;

/**
 * The keys of two records that have different values.
 *
 * @param {Record<string, unknown>} a
 * @param {Record<string, unknown>} b
 * @returns {{ differing: Difference[], same: number }}
 */
export function differingKeys(a, b) {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(key => !OWN.has(key)).sort();
  const differing = keys.filter(key => JSON.stringify(a[key] ?? null) !== JSON.stringify(b[key] ?? null));
  return {
    differing: differing.map(name => ({
      name,
      a: plain(a[name]),
      b: plain(b[name]),
      change: "",
      verdict: "",
    })),
    same: keys.length - differing.length,
  };
}

/**
 * The figures of two runs, with how much the second one's are above or below the first one's.
 *
 * @param {RunView} a
 * @param {RunView} b
 * @returns {Difference[]}
 */
export function comparedFigures(a, b) {
  /** @type {(name: string, of: (view: RunView) => number | null | undefined, format: (value: number | null | undefined) => string, best?: "low" | "high" | "") => Difference} */
  const row = (name, of, format, best = "low") => compared(name, of(a), of(b), format, best);
  const share = (/** @type {string} */ name) => (/** @type {RunView} */ view) =>
    view.shares.find(one => one.name === name)?.seconds;
  const sum = (/** @type {"sent_bytes" | "received_bytes"} */ key) => (/** @type {RunView} */ view) =>
    view.ranks.reduce((total, rank) => total + rank[key], 0) || null;
  const names = [...new Set([...a.shares, ...b.shares].map(one => one.name))];
  return [
    row("Time", view => view.seconds, seconds),
    ...names.map(name => row(`Time: ${name}`, share(name), seconds)),
    row("Loss", view => view.epochs.at(-1)?.loss, figure),
    row("Validation loss", view => view.epochs.at(-1)?.validation?.loss, figure),
    row("Accuracy", view => view.epochs.at(-1)?.metrics.accuracy, percent, "high"),
    row("Validation accuracy", view => view.epochs.at(-1)?.validation?.accuracy, percent, "high"),
    row("Rounds", view => view.rounds.done || null, count, ""),
    row("Round, median", view => view.rounds.p50_ms || null, milliseconds),
    row("Round, 99 %", view => view.rounds.p99_ms || null, milliseconds),
    row("Rows per second", view => view.summary?.rows_per_s, count, "high"),
    row("Sent", sum("sent_bytes"), bytes, ""),
    row("Received", sum("received_bytes"), bytes, ""),
    row("Largest memory", view => Math.max(0, ...view.ranks.map(rank => rank.max_rss_mb)) || null, megabytes),
    row("Cost on AWS", view => view.summary?.cost_usd, dollars),
  ].filter(one => one.a !== NONE || one.b !== NONE);
}

/**
 * @param {string} name
 * @param {number | null | undefined} a
 * @param {number | null | undefined} b
 * @param {(value: number | null | undefined) => string} format
 * @param {"low" | "high" | ""} best Whether less is better, or more, or neither.
 * @returns {Difference}
 */
function compared(name, a, b, format, best) {
  const change = typeof a === "number" && typeof b === "number" && a !== 0 ? b / a - 1 : null;
  /** @type {Difference["verdict"]} */
  let verdict = "";
  if (best && change !== null && Math.abs(change) >= NOISE)
    verdict = change < 0 === (best === "low") ? "better" : "worse";
  return { name, a: format(a), b: format(b), change: change === null ? "" : changeText(change), verdict };
}

/** @param {number} change */
function changeText(change) {
  if (Math.abs(change) < 0.0005) return "the same";
  if (change >= 1) return `${(change + 1).toPrecision(3)} times`;
  return `${change > 0 ? "+" : "−"}${percent(Math.abs(change))}`;
}
