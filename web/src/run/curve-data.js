/** What the curves and plots are drawn from. No element is touched here. */

/**
 * @import { Attempt, Epoch, Rank, Rounds } from "../shared/types.js"
 * @typedef {(number | null)[]} Values
 */

/**
 * The figures that a run's epochs have, the loss first.
 *
 * @param {Epoch[]} epochs
 * @returns {string[]}
 */
export function metricsOf(epochs) {
  const names = new Set(["loss"]);
  for (const epoch of epochs) {
    for (const [name, value] of Object.entries(epoch.metrics)) if (typeof value === "number") names.add(name);
    for (const [name, value] of Object.entries(epoch.validation ?? {}))
      if (typeof value === "number" && name !== "rows") names.add(name);
  }
  return [...names];
}

/**
 * A metric by epoch: of the training rows and of the validation rows.
 *
 * @param {Epoch[]} epochs
 * @param {string} metric
 * @returns {{ x: number[], train: Values, validation: Values }}
 */
export function curveOf(epochs, metric) {
  return {
    x: epochs.map(epoch => epoch.epoch),
    train: epochs.map(epoch => number(metric === "loss" ? epoch.loss : epoch.metrics[metric])),
    validation: epochs.map(epoch => number(epoch.validation?.[metric])),
  };
}

/** @param {unknown} value */
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/**
 * Whether values can be drawn on a logarithmic scale.
 *
 * @param {...Values} all
 */
export function allPositive(...all) {
  return all.every(values => values.every(value => value === null || value > 0));
}

/**
 * Put curves with different x onto one x, as a plot needs them.
 *
 * @param {{ x: number[], y: Values }[]} curves
 * @returns {[number[], ...Values[]]}
 */
export function joined(curves) {
  const x = [...new Set(curves.flatMap(curve => curve.x))].sort((a, b) => a - b);
  const place = new Map(x.map((value, index) => [value, index]));
  return [
    x,
    ...curves.map(curve => {
      /** @type {Values} */
      const values = new Array(x.length).fill(null);
      curve.x.forEach((value, index) => {
        values[/** @type {number} */ (place.get(value))] = curve.y[index];
      });
      return values;
    }),
  ];
}

/**
 * Thin a series to at most `most` points: of each group the lowest and the highest value stay, in their order.
 *
 * @template Point
 * @param {Point[]} points
 * @param {number} most
 * @param {(point: Point) => number} value
 * @returns {Point[]}
 */
export function thinned(points, most, value) {
  if (points.length <= most) return points;
  const groups = Math.max(1, Math.floor(most / 2));
  /** @type {Point[]} */
  const kept = [];
  for (let group = 0; group < groups; group++) {
    const from = Math.floor((points.length * group) / groups);
    const to = Math.floor((points.length * (group + 1)) / groups);
    let low = from;
    let high = from;
    for (let index = from + 1; index < to; index++) {
      if (value(points[index]) < value(points[low])) low = index;
      if (value(points[index]) > value(points[high])) high = index;
    }
    kept.push(points[Math.min(low, high)]);
    if (low !== high) kept.push(points[Math.max(low, high)]);
  }
  return kept;
}

/**
 * The memory of each rank over time, on one grid: the largest size since the point before, null while no attempt runs.
 *
 * @param {Rank[]} ranks
 * @param {number} until Seconds.
 * @param {number} points
 * @returns {[number[], ...Values[]]}
 */
export function memoryGrid(ranks, until, points) {
  const step = (until || 1) / points;
  const x = Array.from({ length: points + 1 }, (_, index) => index * step);
  return [x, ...ranks.map(rank => memoryOf(rank.attempts, step, points, until))];
}

/**
 * @param {Attempt[]} attempts
 * @param {number} step
 * @param {number} points
 * @param {number} until
 */
function memoryOf(attempts, step, points, until) {
  /** @type {Values} */
  const values = new Array(points + 1).fill(null);
  for (const { memory, ended } of attempts) {
    memory.forEach(([at, size], index) => {
      const next = memory[index + 1]?.[0] ?? Math.min(ended ?? until, until);
      const first = Math.min(points, Math.max(0, Math.ceil(at / step)));
      const last = Math.min(points, Math.max(first, Math.floor(next / step)));
      for (let point = first; point <= last; point++) values[point] = Math.max(values[point] ?? 0, size);
    });
  }
  return values;
}

/**
 * The histogram as a plot needs it: x is the number of a bin, whatever the widths of bins are.
 *
 * @param {Rounds} rounds
 * @returns {[number[], number[]]}
 */
export function histogramOf({ histogram }) {
  return [histogram.map((_, index) => index), histogram.map(([, , rounds]) => rounds)];
}

/**
 * Where a time is among the bins of a histogram: 2.5 is the middle between the middles of bins 2 and 3.
 *
 * @param {Rounds} rounds
 * @param {number} ms
 */
export function placeInBins({ histogram }, ms) {
  const index = histogram.findIndex(([, high]) => ms <= high);
  if (index < 0) return histogram.length - 0.5;
  const [low, high] = histogram[index];
  return index - 0.5 + Math.max(0, (ms - low) / (high - low || 1));
}

/**
 * The time at a place among the bins.
 *
 * @param {Rounds} rounds
 * @param {number} place
 */
export function timeInBins({ histogram }, place) {
  const index = Math.min(histogram.length - 1, Math.max(0, Math.round(place)));
  const [low, high] = histogram[index];
  return low + (place - index + 0.5) * (high - low);
}

/**
 * Whether a few values are so much larger than the others that only a logarithmic scale shows both.
 *
 * @param {number[]} values
 */
export function needsLog(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  return middle > 0 && sorted[0] > 0 && sorted[sorted.length - 1] > 20 * middle;
}
