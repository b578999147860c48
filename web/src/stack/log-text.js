/** Lines of logs as texts: which are shown, how urgent they are, and without the colours of a terminal. */

/** @import { LogLine } from "../shared/types.js" */

/**
 * Return the lines that a user asks for.
 *
 * @param {LogLine[]} all
 * @param {{ function: string, rank: string, text: string }} filter Empty strings let everything pass.
 */
export function filterLines(all, filter) {
  const text = filter.text.trim().toLowerCase();
  return all.filter(
    line =>
      (!filter.function || line.function === filter.function) &&
      (!filter.rank || String(line.rank) === filter.rank) &&
      (!text || line.text.toLowerCase().includes(text)),
  );
}

// Colours of a terminal; a page has its own.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins them
const ESCAPES = /\u001b\[[0-9;]*[A-Za-z]/g;

/** @param {string} text */
export const readable = text => text.replace(ESCAPES, "").trimEnd();

/**
 * Return how urgent a line is: `bad`, `warn`, or nothing.
 *
 * @param {string} text
 */
export function urgency(text) {
  if (/\b(ERROR|CRITICAL|Traceback|Exception)\b|"level":\s*"(ERROR|CRITICAL)"/.test(text)) return "bad";
  return /\b(WARN|WARNING)\b/.test(text) ? "warn" : "";
}
