/** The invocations that the page knows: the newest record of each attempt, up to a number of them. */

/** @import { Invocation } from "../shared/types.js" */

const MOST = 5_000;

/** Names of the states as they are shown. @type {Record<Invocation["state"], string>} */
export const STATE_NAMES = {
  queued: "queued",
  running: "running",
  waiting: "waits for retry",
  throttled: "throttled",
  succeeded: "succeeded",
  failed: "failed",
  given_up: "given up",
  dropped: "dropped",
};

/** What the page's server adds to the numbers of a stack, so that those of several stacks differ. */
const NUMBERS = 1_000_000_000;

/** @param {number} number @returns {number} The number as its stack counts. */
export const numberInStack = number => number % NUMBERS;

/** @param {Invocation} invocation Whether it is over, and will not change any more but for its last name. */
export const isOver = invocation => invocation.ended_at !== null;

export class InvocationStore {
  constructor() {
    /** @type {Map<number, Invocation>} */
    this._byNumber = new Map();
  }

  /**
   * Take in records; each replaces what is known of the same attempt.
   *
   * @param {Invocation[]} records
   */
  merge(records) {
    for (const record of records) this._byNumber.set(record.number, record);
    for (const number of this._byNumber.keys()) {
      if (this._byNumber.size <= MOST) break;
      this._byNumber.delete(number);
    }
  }

  /**
   * Replace everything, as when another stack counts its attempts from 1 again.
   *
   * @param {Invocation[]} records
   */
  reset(records) {
    this._byNumber.clear();
    this.merge(records);
  }

  /** @param {number} number @returns {Invocation|undefined} */
  get(number) {
    return this._byNumber.get(number);
  }

  /** @returns {Invocation[]} The oldest first. */
  all() {
    return [...this._byNumber.values()].sort((one, other) => one.number - other.number);
  }
}

/**
 * Return the invocations that a user asks for, the newest first.
 *
 * @param {Invocation[]} invocations
 * @param {{function: string, state: string, text: string}} filter Empty strings let everything pass; `unwell` as state
 *     is whatever failed, was throttled, given up or dropped.
 */
export function filterInvocations(invocations, filter) {
  const text = filter.text.trim().toLowerCase();
  return invocations
    .filter(
      one =>
        (!filter.function || one.function === filter.function) &&
        (!filter.state || (filter.state === "unwell" ? isUnwell(one) : one.state === filter.state)) &&
        (!text ||
          [
            one.request_id,
            one.environment,
            one.error,
            one.error_message,
            one.function,
            String(numberInStack(one.number)),
          ].some(field => field.toLowerCase().includes(text))),
    )
    .reverse();
}

/** @param {Invocation} one */
export function isUnwell(one) {
  return ["failed", "throttled", "given_up", "dropped"].includes(one.state);
}

/**
 * Return how long an attempt's environment took to start, in seconds; 0 in a warm one, and while that is unknown.
 *
 * @param {Invocation} one
 */
export function coldSeconds(one) {
  if (!one.cold || one.started_at === null) return 0;
  if (one.ended_at === null) return (one.init_ms ?? 0) / 1e3;
  return Math.max(0, one.ended_at - one.started_at - (one.duration_ms ?? 0) / 1e3);
}
