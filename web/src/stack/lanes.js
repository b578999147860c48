/**
 * Lanes of the timeline: one for each environment of each function, and one or more for attempts without one.
 *
 *     worker   waiting    ----          a thin line: queued, throttled, or waiting for a retry
 *              #1       --[cold|====]   a bar in the lane of the environment that ran it
 */

import { coldSeconds } from "./invocations-store.js";

/** @import { Invocation } from "../shared/types.js" */

/**
 * @typedef {object} Bar One attempt in its lane. Times are seconds since the epoch.
 * @property {number} number The attempt.
 * @property {Invocation["state"]} state
 * @property {number} queued When it was accepted.
 * @property {number|null} start When it began to run; null if it has not.
 * @property {number} warm When its environment had started; equal to `start` in a warm one.
 * @property {number} end When it ended, or now.
 * @property {boolean} again Whether it is a further attempt: then it waited for its retry.
 * @property {boolean} open Whether it is not over.
 *
 * @typedef {{function: string, environment: string, bars: Bar[]}} Lane `environment` is empty for attempts without one.
 */

/** @typedef {{ waiting: Bar[], environments: Map<string, Bar[]> }} Group The attempts of a function. */

/** @returns {Group} */
const newGroup = () => ({ waiting: [], environments: new Map() });

// Attempts that wait share that many lanes; more of them are drawn over each other in the last one.
const MOST_WAITING_LANES = 6;

/**
 * Lay out the attempts that are visible between two moments.
 *
 * @param {Invocation[]} invocations The oldest first.
 * @param {number} from Seconds since the epoch.
 * @param {number} to Seconds since the epoch.
 * @param {number} now Seconds since the epoch.
 * @returns {Lane[]} By function, those without an environment first, then environments in the order of their first use.
 */
export function layOut(invocations, from, to, now) {
  /** @type {Map<string, Group>} */
  const functions = new Map();
  for (const one of invocations) {
    const bar = barOf(one, now);
    if (bar.end < from || bar.queued > to) continue;
    const group = functions.get(one.function) ?? newGroup();
    functions.set(one.function, group);
    if (!one.environment) group.waiting.push(bar);
    else if (group.environments.has(one.environment)) group.environments.get(one.environment)?.push(bar);
    else group.environments.set(one.environment, [bar]);
  }
  const names = [...functions.keys()].sort();
  return names.flatMap(name => {
    const group = functions.get(name);
    if (!group) return [];
    const waiting = pack(group.waiting).map(bars => ({ function: name, environment: "", bars }));
    const environments = [...group.environments].map(([environment, bars]) => ({
      function: name,
      environment,
      bars,
    }));
    return [...waiting, ...environments];
  });
}

/**
 * @param {Invocation} one
 * @param {number} now
 * @returns {Bar}
 */
function barOf(one, now) {
  const end = one.ended_at ?? Math.max(now, one.started_at ?? one.queued_at);
  const start = one.started_at;
  return {
    number: one.number,
    state: one.state,
    queued: one.queued_at,
    start,
    warm: start === null ? end : Math.min(end, start + coldSeconds(one)),
    end,
    again: one.attempt > 1,
    open: one.ended_at === null,
  };
}

/**
 * Spread bars over as few lanes as needed, so that none hides another.
 *
 * @param {Bar[]} bars
 * @returns {Bar[][]}
 */
function pack(bars) {
  /** @type {Bar[][]} */
  const lanes = [];
  for (const bar of [...bars].sort((one, other) => one.queued - other.queued)) {
    const free = lanes.find(lane => (lane.at(-1)?.end ?? 0) <= bar.queued);
    if (free) free.push(bar);
    else if (lanes.length < MOST_WAITING_LANES) lanes.push([bar]);
    else lanes.at(-1)?.push(bar);
  }
  return lanes;
}

/**
 * Return moments for the time axis: round ones, as far apart as their labels need.
 *
 * @param {number} from Seconds since the epoch.
 * @param {number} to Seconds since the epoch.
 * @param {number} most How many at most.
 * @returns {{at: number, label: string}[]}
 */
export function ticks(from, to, most) {
  const steps = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600,
    7200, 14_400, 43_200,
  ];
  const step = steps.find(one => (to - from) / one <= most) ?? 86_400;
  const digits = Math.max(0, Math.ceil(-Math.log10(step)));
  const found = [];
  for (let index = Math.ceil(from / step); index * step <= to; index++) {
    found.push({ at: index * step, label: clock(index * step, digits) });
  }
  return found;
}

/**
 * Return a moment as the time of day here.
 *
 * @param {number} at Seconds since the epoch.
 * @param {number} digits How many digits of a second.
 */
export function clock(at, digits = 0) {
  const unit = 10 ** digits;
  const rounded = Math.round(at * unit);
  const date = new Date(Math.floor(rounded / unit) * 1000);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map(part =>
    String(part).padStart(2, "0"),
  );
  return parts.join(":") + (digits ? `.${String(rounded % unit).padStart(digits, "0")}` : "");
}
