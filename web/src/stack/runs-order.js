/** The list of runs: which are shown, and in which order. */

import { plain } from "../shared/format.js";

/** @import { RunLine } from "../shared/types.js" */

/** @typedef {"started_at"|"status"|"run_id"|"model"|"dataset"|"n_workers"|"loss"|"seconds"} RunKey */

/**
 * Return the runs that a user asks for.
 *
 * @param {RunLine[]} runs
 * @param {{text: string, status: string}} filter `text` is looked for in id, model, dataset and in `key=value` of what
 *     differs; words are all needed. Empty strings let everything pass.
 * @param {{key: RunKey, down: boolean}} order
 */
export function chooseRuns(runs, filter, order) {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = runs.filter(run => {
    const text = searched(run);
    return (!filter.status || run.status === filter.status) && words.every(word => text.includes(word));
  });
  const sign = order.down ? -1 : 1;
  return chosen.sort((one, other) => {
    const [left, right] = [one[order.key], other[order.key]];
    // What is unknown comes last in either direction.
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    if (left === right) return other.started_at - one.started_at;
    return left < right ? -sign : sign;
  });
}

/** @param {RunLine} run */
function searched(run) {
  const differs = Object.entries(run.differs).map(([key, value]) => `${key}=${plain(value)}`);
  return [run.run_id, run.model, run.dataset, run.status, ...differs].join(" ").toLowerCase();
}
