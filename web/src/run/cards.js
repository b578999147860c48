/** The cards of one run. Each is made from a view, and drawn again from the next one. */

import { card, el, fill } from "../shared/dom.js";
import { bytes, count, figure, megabytes, milliseconds, moment } from "../shared/format.js";
import {
  allPositive,
  curveOf,
  histogramOf,
  memoryGrid,
  metricsOf,
  needsLog,
  placeInBins,
  thinned,
  timeInBins,
} from "./curve-data.js";
import { makePlot, plotLegend } from "./plot.js";
import { bars } from "./plot-bars.js";

/**
 * @import { Batch, RunView } from "../shared/types.js"
 * @import { Line, Plot } from "./plot.js"
 * @typedef {{ element: HTMLElement, update: (view: RunView) => void, unmount: () => void }} Card
 */

/**
 * The loss and other metrics by epoch, and below them the losses of batches.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function curvesCard(first) {
  let view = first;
  let metric = "loss";
  let log = false;
  const choice = el("select", {
    "aria-label": "Metric of the curves",
    onchange() {
      metric = choice.value;
      draw(true);
    },
  });
  const logSwitch = el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick() {
        log = !log;
        logSwitch.setAttribute("aria-pressed", String(log));
        draw(true);
      },
    },
    "Log scale",
  );
  const place = el("div", {});
  const element = card("Curves", { class: "two-thirds", controls: [choice, logSwitch] }, place);
  /** @type {Plot[]} */
  let plots = [];
  let shape = "";

  /** @param {boolean} [anew] */
  function draw(anew = false) {
    const names = metricsOf(view.epochs);
    if (choice.options.length !== names.length)
      fill(
        choice,
        names.map(name =>
          el("option", { value: name, selected: name === metric }, name.replaceAll("_", " ")),
        ),
      );
    const curve = curveOf(view.epochs, metric);
    const batches = thinned(view.batches, 1000, ([, , loss]) => loss);
    const positive = allPositive(
      curve.train,
      curve.validation,
      batches.map(([, , loss]) => loss),
    );
    logSwitch.disabled = !positive;
    logSwitch.title = positive ? "" : "Values that are not above zero have no logarithm.";
    const now = `${view.epochs.length > 0} ${view.epochs.length > 40} ${curve.validation.some(one => one !== null)} ${batches.length > 0} ${metric}`;
    if (!anew && now === shape) {
      const [curves, losses] = view.epochs.length ? plots : [null, plots[0]];
      curves?.update({ data: [curve.x, curve.train, curve.validation], label: curveLabel(view, metric) });
      losses?.update({ data: batchData(batches) });
      return;
    }
    shape = now;
    for (const plot of plots) plot.unmount();
    plots = [];
    fill(place);
    const lines = curveLines(
      view.epochs.length,
      curve.validation.some(one => one !== null),
    );
    if (view.epochs.length) {
      const plot = makePlot({
        label: curveLabel(view, metric),
        height: 250,
        lines,
        data: [curve.x, curve.train, curve.validation],
        x: { label: "Epoch", format: value => (Number.isInteger(value) ? count(value) : ""), whole: true },
        y: { format: figure, log: log && positive },
      });
      plots.push(plot);
      place.append(plotLegend(lines), plot.element);
    }
    if (batches.length) {
      const plot = makePlot({
        label: "The loss of rank 0's batches by round.",
        height: 150,
        lines: [{ title: "Loss of the batch", colour: "batch", width: 1.2 }],
        data: batchData(batches),
        x: { label: "Round", format: count, whole: true },
        y: { format: figure, log: log && positive },
      });
      plots.push(plot);
      place.append(el("h3", { class: "below" }, "Loss of single batches"), plot.element);
    }
    if (!plots.length)
      place.append(el("p", { class: "empty" }, "No epoch is over, and no batch was reported."));
  }

  draw();
  return {
    element,
    update(next) {
      view = next;
      draw();
    },
    unmount: () => plots.forEach(plot => void plot.unmount()),
  };
}

/**
 * @param {number} epochs
 * @param {boolean} validated
 * @returns {Line[]}
 */
function curveLines(epochs, validated) {
  const points = epochs <= 40;
  return [
    { title: "Training", colour: "curve-1", points },
    ...(validated ? [{ title: "Validation", colour: "curve-2", dash: [6, 4], points }] : []),
  ];
}

/** @param {Batch[]} batches */
function batchData(batches) {
  return /** @type {[number[], number[]]} */ ([
    batches.map(([, round]) => round),
    batches.map(([, , loss]) => loss),
  ]);
}

/**
 * @param {RunView} view
 * @param {string} metric
 */
function curveLabel(view, metric) {
  const { train, validation } = curveOf(view.epochs, metric);
  const last = figure(train.at(-1));
  const other = validation.at(-1);
  const ending = other === null || other === undefined ? "" : `, of the validation rows ${figure(other)}`;
  return `${metric} by epoch: from ${figure(train[0])} to ${last} of the training rows${ending}.`;
}

/**
 * The times of rounds: their histogram, and their course.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function roundsCard(first) {
  let view = first;
  const summary = el("p", { class: "soft" });
  const place = el("div", {});
  const element = card("Round times", { class: "third" }, summary, place);
  /** @type {Plot[]} */
  let plots = [];

  function draw() {
    const { rounds } = view;
    const series = thinned(rounds.series, 600, ([, , ms]) => ms);
    if (!rounds.histogram.length) {
      fill(summary, "No round is over.");
      return;
    }
    const text = `Median ${milliseconds(rounds.p50_ms)}, 99 % below ${milliseconds(rounds.p99_ms)}`;
    fill(summary, text);
    const data = [histogramOf(rounds), [series.map(([round]) => round), series.map(([, , ms]) => ms)]];
    const range = /** @type {[number, number]} */ ([-0.5, rounds.histogram.length - 0.5]);
    if (plots.length) {
      plots[0].update({
        data: /** @type {[number[], number[]]} */ (data[0]),
        range,
        label: `Histogram of round times. ${text}.`,
      });
      plots[1].update({ data: /** @type {[number[], number[]]} */ (data[1]), y: orderScale(data[1][1]) });
      return;
    }
    plots = [
      makePlot({
        label: `Histogram of round times. ${text}.`,
        height: 190,
        lines: [{ title: "Rounds", colour: "compute", paths: bars(1, 0), filled: true, width: 0 }],
        data: /** @type {[number[], number[]]} */ (data[0]),
        range,
        x: {
          label: "Time of a round",
          format: place => milliseconds(timeInBins(view.rounds, place)),
          whole: true,
        },
        y: { format: value => (Number.isInteger(value) ? count(value) : ""), zero: true },
        tip: index => {
          const [low, high, n] = view.rounds.histogram[index];
          return [`${milliseconds(low)} to ${milliseconds(high)}`, `${count(n)} rounds`];
        },
        marks: () => [
          { x: placeInBins(view.rounds, view.rounds.p50_ms), colour: "text", dash: [] },
          { x: placeInBins(view.rounds, view.rounds.p99_ms), colour: "text", dash: [3, 3] },
        ],
      }),
      makePlot({
        label: "The time of each round, in their order.",
        height: 150,
        lines: [{ title: "Time", colour: "compute", width: 1.2 }],
        data: /** @type {[number[], number[]]} */ (data[1]),
        x: { label: "Round", format: count, whole: true },
        y: orderScale(data[1][1]),
      }),
    ];
    fill(
      place,
      el("p", { class: "plot-legend" }, el("span", {}, "│ median"), el("span", {}, "┆ 99 %")),
      plots[0].element,
      el("h3", { class: "below" }, "In their order"),
      plots[1].element,
    );
  }

  draw();
  return {
    element,
    update(next) {
      view = next;
      draw();
    },
    unmount: () => plots.forEach(plot => void plot.unmount()),
  };
}

/** @param {number[]} times ms */
function orderScale(times) {
  const log = needsLog(times);
  return { format: milliseconds, log, zero: !log };
}

/** @type {Line[]} */
const TRAFFIC = [
  { title: "Sent", colour: "curve-1", paths: bars(0.42, -1), filled: true, width: 0 },
  { title: "Received", colour: "curve-2", paths: bars(0.42, 1), filled: true, width: 0 },
];

/** @param {RunView} view */
function trafficData(view) {
  return /** @type {[number[], number[], number[]]} */ ([
    view.ranks.map(rank => rank.rank),
    view.ranks.map(rank => rank.sent_bytes),
    view.ranks.map(rank => rank.received_bytes),
  ]);
}

/**
 * Bytes through the channel by rank.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function trafficCard(first) {
  const summary = el("p", { class: "soft" });
  const label = (/** @type {RunView} */ view) => {
    const sent = view.ranks.reduce((sum, rank) => sum + rank.sent_bytes, 0);
    const received = view.ranks.reduce((sum, rank) => sum + rank.received_bytes, 0);
    return sent + received
      ? `All ranks sent ${bytes(sent)} and received ${bytes(received)}.`
      : "No rank has reported its bytes.";
  };
  const range = (/** @type {RunView} */ view) =>
    /** @type {[number, number]} */ ([-0.6, view.ranks.length - 0.4]);
  const plot = makePlot({
    label: label(first),
    height: 210,
    lines: TRAFFIC,
    data: trafficData(first),
    range: range(first),
    x: { label: "Rank", format: value => (Number.isInteger(value) ? String(value) : ""), whole: true },
    y: { format: bytes, zero: true },
  });
  const drawn = el("div", {}, plotLegend(TRAFFIC), plot.element);
  const element = card("Bytes through the channel", { class: "third" }, summary, drawn);
  const update = (/** @type {RunView} */ view) => {
    fill(summary, label(view));
    drawn.hidden = !view.ranks.some(rank => rank.sent_bytes + rank.received_bytes);
    plot.update({ data: trafficData(view), label: label(view), range: range(view) });
  };
  update(first);
  return { element, update, unmount: plot.unmount };
}

/**
 * Memory by rank over time.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function memoryCard(first) {
  let view = first;
  const summary = el("p", { class: "soft" });
  const place = el("div", {});
  const element = card("Memory by rank", { class: "third" }, summary, place);
  /** @type {Plot | null} */
  let plot = null;
  let drawn = 0;

  function draw() {
    const largest = view.ranks.reduce(
      (best, rank) => (rank.max_rss_mb > best.max_rss_mb ? rank : best),
      view.ranks[0],
    );
    const text = largest?.max_rss_mb
      ? `At most ${megabytes(largest.max_rss_mb)}, of rank ${largest.rank}.`
      : "";
    fill(summary, text || "No rank has reported its memory.");
    if (!text) return;
    const data = memoryGrid(view.ranks, view.seconds, 300);
    if (plot && drawn === view.ranks.length) {
      plot.update({ data, label: `Memory by rank over time. ${text}` });
      return;
    }
    plot?.unmount();
    drawn = view.ranks.length;
    plot = makePlot({
      label: `Memory by rank over time. ${text}`,
      height: 225,
      lines: view.ranks.map(rank => ({
        title: `Rank ${rank.rank}`,
        colour: rank === largest ? "curve-2" : "compute",
        width: rank === largest ? 2.2 : 1.3,
        alpha: rank === largest || view.ranks.length < 8 ? 1 : 0.45,
      })),
      data,
      x: {
        label: "Time",
        format: value => (view.seconds > 180 ? moment(value).replace(/\.00$/, "") : `${figure(value)} s`),
      },
      y: { format: megabytes, zero: true },
      focus: true,
      tip: (index, line, values) => {
        const at = `At ${moment(/** @type {number} */ (values[0][index]))}`;
        const sizes = view.ranks.map((rank, place) => [rank.rank, values[place + 1][index]]);
        const known = sizes.filter(([, size]) => size !== null && size !== undefined);
        if (line && values[line]?.[index] !== null)
          return [`Rank ${view.ranks[line - 1].rank}: ${megabytes(values[line][index])}`, at];
        const top = known.sort((a, b) => Number(b[1]) - Number(a[1])).slice(0, 4);
        return [at, ...top.map(([rank, size]) => `Rank ${rank}: ${megabytes(size)}`)];
      },
    });
    fill(place, plot.element);
  }

  draw();
  return {
    element,
    update(next) {
      view = next;
      draw();
    },
    unmount: () => plot?.unmount(),
  };
}
