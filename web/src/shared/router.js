/** Addresses within the page: what stands behind its `#`. */

/**
 * @typedef {{ name: "overview" } | { name: "log" } | { name: "invocations", number: number | null } | { name: "run", id: string }
 *   | { name: "compare", ids: [string, string] } | { name: "unknown", hash: string }} Route
 */

/**
 * Read an address: `#/`, `#/log`, `#/invocations`, `#/invocations/NUMBER`, `#/runs/ID`, `#/compare/A/B`.
 *
 * @param {string} hash
 * @returns {Route}
 */
export function readRoute(hash) {
  const parts = hash
    .replace(/^#?\/?/, "")
    .split("/")
    .filter(Boolean);
  /** @type {string[]} */
  let names;
  try {
    names = parts.map(decodeURIComponent);
  } catch {
    return { name: "unknown", hash };
  }
  const [first, second, third] = names;
  if (names.length === 0) return { name: "overview" };
  if (first === "log" && names.length === 1) return { name: "log" };
  if (first === "invocations" && names.length === 1) return { name: "invocations", number: null };
  if (first === "invocations" && names.length === 2 && /^\d+$/.test(second))
    return { name: "invocations", number: Number(second) };
  if (first === "runs" && names.length === 2) return { name: "run", id: second };
  if (first === "compare" && names.length === 3) return { name: "compare", ids: [second, third] };
  return { name: "unknown", hash };
}

/** @param {string} id */
export const runAddress = id => `#/runs/${encodeURIComponent(id)}`;

/**
 * @param {string} a
 * @param {string} b
 */
export const compareAddress = (a, b) => `#/compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}`;

/** @param {number} number */
export const invocationAddress = number => `#/invocations/${number}`;
