/** Figures as people read them: three digits that count, and a unit. */

/** What is shown where there is no figure. */
export const NONE = "–";

/**
 * @param {number} value
 * @param {number} digits
 */
function digits(value, digits) {
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return value.toFixed(Math.min(decimals, digits - 1));
}

/**
 * Format a duration: 0.4 ms, 12.3 s, 4 min 05 s, 2 h 03 min.
 *
 * @param {number | null | undefined} value Seconds.
 */
export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 0.9995) return `${digits(value * 1000, 3)} ms`;
  if (size < 99.95) return `${digits(value, 3)} s`;
  const whole = Math.round(size);
  const sign = value < 0 ? "-" : "";
  if (whole < 3600) return `${sign}${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${sign}${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/**
 * @param {number | null | undefined} value Milliseconds.
 */
export function milliseconds(value) {
  return value === null || value === undefined ? NONE : seconds(value / 1000);
}

/** @param {number} value */
function pad(value) {
  return String(value).padStart(2, "0");
}

/**
 * Format a moment of a run: +0:03.25 s after its start.
 *
 * @param {number} value Seconds since the start.
 */
export function moment(value) {
  const minutes = Math.floor(value / 60);
  return `${minutes}:${(value - minutes * 60).toFixed(2).padStart(5, "0")}`;
}

/**
 * Format a size: 0 B, 312 B, 12.3 kB, 1.50 GB; a kB has 1,000 bytes.
 *
 * @param {number | null | undefined} value Bytes.
 */
export function bytes(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let size = value;
  while (Math.abs(size) >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${Math.round(size)} B` : `${digits(size, 3)} ${units[unit]}`;
}

/**
 * Format a size of memory: 312 MB.
 *
 * @param {number | null | undefined} value MB.
 */
export function megabytes(value) {
  return value === null || value === undefined ? NONE : `${Math.round(value).toLocaleString("en")} MB`;
}

/**
 * Format a whole number: 10,000.
 *
 * @param {number | null | undefined} value
 */
export function count(value) {
  return value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en");
}

/**
 * Format a loss, a metric, or another figure of which the size is unknown.
 *
 * @param {number | null | undefined} value
 */
export function figure(value) {
  if (value === null || value === undefined) return NONE;
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 0.001 || size >= 1e6) return value.toExponential(2);
  return size >= 1000
    ? value.toLocaleString("en", { maximumFractionDigits: 0 })
    : String(Number(value.toPrecision(4)));
}

/**
 * Format a price: $0.000082, $1.23.
 *
 * @param {number | null | undefined} value Dollars.
 */
export function dollars(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const decimals =
    value && Math.abs(value) < 1 ? Math.min(12, 1 - Math.floor(Math.log10(Math.abs(value)))) : 2;
  return `$${value.toFixed(decimals)}`;
}

/**
 * Format a share: 12 %, 0.4 %.
 *
 * @param {number | null | undefined} value From 0 to 1.
 */
export function percent(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = value * 100;
  return `${size !== 0 && Math.abs(size) < 9.95 ? size.toFixed(1) : Math.round(size)} %`;
}

/**
 * Format a time of day, of the reader's time zone: 14:03:27.
 *
 * @param {number | null | undefined} at Seconds since the epoch.
 */
export function clock(at) {
  if (!at) return NONE;
  const date = new Date(at * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":");
}

/**
 * Format a date and a time of day: 2026-12-01 14:03.
 *
 * @param {number | null | undefined} at Seconds since the epoch.
 */
export function dateAndTime(at) {
  if (!at) return NONE;
  const date = new Date(at * 1000);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/**
 * Name a number of things: 1 round, 3 rounds.
 *
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/**
 * Show a value of a job or an event in one line: strings as they are, everything else as JSON.
 *
 * @param {unknown} value
 */
export function plain(value) {
  if (value === null || value === undefined) return NONE;
  if (typeof value === "string") return value;
  return JSON.stringify(value);
}
