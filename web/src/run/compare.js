/** Two runs side by side. */

import { getRun } from "../shared/data.js";
import { card, el, fill, table } from "../shared/dom.js";
import { count, figure, plural, seconds } from "../shared/format.js";
import { runAddress } from "../shared/router.js";
import { allPositive, curveOf, joined, metricsOf } from "./curve-data.js";
import { comparedFigures, differingKeys } from "./differences.js";
import { sharesBar, statusBadge } from "./lists.js";
import { makePlot, plotLegend } from "./plot.js";
import { makeTimeline } from "./timeline.js";
import { wholeSpan } from "./timeline-model.js";
import { showError } from "./view.js";
import { stragglerSentence } from "./words.js";

/**
 * @import { RunView, Unmount } from "../shared/types.js"
 * @import { Difference } from "./differences.js"
 * @import { Line, Plot } from "./plot.js"
 * @typedef {[RunView, RunView]} Pair
 */

/**
 * @param {HTMLElement} place
 * @param {[string, string]} ids
 * @returns {Unmount}
 */
export function mountCompare(place, ids) {
  let over = false;
  /** @type {Unmount[]} */
  const stops = [];
  fill(place, el("p", { class: "empty" }, `Reading runs ${ids.join(" and ")} …`));
  void (async () => {
    /** @type {RunView[]} */
    const views = [];
    for (const id of ids) {
      try {
        views.push(await getRun(id));
      } catch (error) {
        if (!over) showError(place, id, error);
        return;
      }
    }
    if (!over) stops.push(...build(place, /** @type {Pair} */ (views)));
  })();
  return () => {
    over = true;
    for (const stop of stops) stop();
  };
}

/**
 * @param {HTMLElement} place
 * @param {Pair} pair
 * @returns {Unmount[]}
 */
function build(place, pair) {
  document.title = `${pair[0].run_id} and ${pair[1].run_id}`;
  const curves = curvesCard(pair);
  const timelines = timelinesCard(pair);
  fill(
    place,
    el("h1", { class: "unseen" }, "Two runs compared"),
    el(
      "div",
      { class: "grid" },
      pair.map((view, index) => runHead(view, index)),
      el(
        "div",
        { class: "half stack" },
        curves.element,
        keysCard("What differs in the jobs", withFaults(pair[0]), withFaults(pair[1])),
        keysCard("What differs in the versions", pair[0].versions, pair[1].versions),
      ),
      figuresCard(pair),
      timelines.element,
    ),
  );
  return [curves.unmount, timelines.unmount];
}

const NAMES = ["A", "B"];

/** Run A's curves are wide and pale, so that they are seen where run B's lie on them. */
const UNDER = { width: 5, alpha: 0.5 };

/**
 * @param {RunView} view
 * @param {number} index
 */
function runHead(view, index) {
  const last = view.epochs.at(-1);
  const facts = [
    seconds(view.seconds),
    last && `loss ${figure(last.loss)}`,
    last?.validation?.loss !== undefined && `validation loss ${figure(last.validation.loss)}`,
    plural(view.ranks.length, "worker"),
    `${count(view.rounds.done)} rounds`,
  ];
  return el(
    "section",
    { class: "card half run-head", "aria-label": `Run ${NAMES[index]}` },
    el(
      "div",
      { class: "title" },
      el("span", { class: `letter letter-${NAMES[index]}` }, NAMES[index]),
      el("h2", {}, el("a", { class: "mono", href: runAddress(view.run_id) }, view.run_id)),
      statusBadge(view.status),
    ),
    el("p", {}, facts.filter(Boolean).join(", ")),
    view.cause && el("p", { class: "notice bad" }, view.cause),
    el("p", { class: "soft" }, stragglerSentence(view)),
  );
}

/** @param {Pair} pair */
function curvesCard(pair) {
  const names = [...new Set(pair.flatMap(view => metricsOf(view.epochs)))];
  let log = false;
  const choice = el(
    "select",
    { "aria-label": "Metric of the curves", onchange: draw },
    names.map(name => el("option", { value: name }, name.replaceAll("_", " "))),
  );
  const logSwitch = el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick() {
        log = !log;
        logSwitch.setAttribute("aria-pressed", String(log));
        draw();
      },
    },
    "Log scale",
  );
  const place = el("div", {});
  /** @type {Plot | null} */
  let plot = null;

  function draw() {
    plot?.unmount();
    const curves = pair.map(view => curveOf(view.epochs, choice.value));
    const data = joined(
      curves.flatMap(({ x, train, validation }) => [
        { x, y: train },
        { x, y: validation },
      ]),
    );
    const positive = allPositive(...data.slice(1));
    logSwitch.disabled = !positive;
    /** @type {Line[]} */
    const lines = curves.flatMap(({ validation }, index) => [
      {
        title: `${NAMES[index]} training`,
        colour: `curve-${index + 1}`,
        points: data[0].length <= 40,
        ...(index === 0 ? UNDER : {}),
      },
      {
        title: `${NAMES[index]} validation`,
        colour: `curve-${index + 1}`,
        dash: [6, 4],
        points: false,
        ...(index === 0 ? UNDER : {}),
        ...(validation.some(value => value !== null) ? {} : { width: 0 }),
      },
    ]);
    if (!data[0].length) {
      fill(place, el("p", { class: "empty" }, "Neither run has ended an epoch."));
      return;
    }
    const ends = curves.map(({ train }, index) => `run ${NAMES[index]} ends at ${figure(train.at(-1))}`);
    plot = makePlot({
      label: `${choice.value} by epoch of both runs: ${ends.join(", ")}.`,
      height: 300,
      lines,
      data,
      x: { label: "Epoch", format: value => (Number.isInteger(value) ? count(value) : ""), whole: true },
      y: { format: figure, log: log && positive },
    });
    fill(place, plotLegend(lines.filter(line => line.width !== 0)), plot.element);
  }

  draw();
  return {
    element: card("Curves", { controls: [choice, logSwitch] }, place),
    unmount: () => plot?.unmount(),
  };
}

/** @param {Pair} pair */
function figuresCard(pair) {
  const longest = Math.max(...pair.map(view => view.seconds));
  const figures = table(
    "Figures of both runs",
    [
      { title: "", cell: (/** @type {Difference} */ row) => row.name },
      { title: "A", cell: row => row.a, number: true },
      { title: "B", cell: row => row.b, number: true },
      {
        title: "B against A",
        cell: row => [
          row.change,
          " ",
          row.verdict &&
            el("span", { class: `badge ${row.verdict === "better" ? "good" : "bad"}` }, row.verdict),
        ],
        number: true,
      },
    ],
    comparedFigures(...pair),
  );
  return card(
    "Times and figures",
    { class: "half" },
    pair.map((view, index) =>
      el("div", { class: "shares-row" }, el("b", {}, NAMES[index]), sharesBar(view.shares, longest)),
    ),
    figures.element,
  );
}

/** @param {Pair} pair */
function timelinesCard(pair) {
  const spans = pair.map(wholeSpan);
  const whole = {
    from: Math.min(...spans.map(span => span.from)),
    to: Math.max(...spans.map(span => span.to)),
  };
  const timelines = pair.map(view => makeTimeline(view, { whole }));
  return {
    element: card(
      "Timelines on one scale",
      { class: "wide" },
      timelines.flatMap(({ elements }, index) => [
        el(
          "div",
          { class: "timeline-head" },
          el("h3", {}, `${NAMES[index]}: `, el("span", { class: "mono" }, pair[index].run_id)),
          el("div", { class: "controls" }, elements.controls),
        ),
        elements.body,
      ]),
    ),
    unmount() {
      for (const timeline of timelines) timeline.unmount();
    },
  };
}

/**
 * A job, and the faults that were injected into its run.
 *
 * @param {RunView} view
 * @returns {Record<string, unknown>}
 */
function withFaults(view) {
  const faults = view.marks.filter(mark => mark.kind === "fault").map(mark => mark.text);
  return faults.length ? { ...view.job, faults: [...new Set(faults)].join("; ") } : view.job;
}

/**
 * @param {string} title
 * @param {Record<string, unknown>} a
 * @param {Record<string, unknown>} b
 */
function keysCard(title, a, b) {
  const { differing, same } = differingKeys(a, b);
  const note = el("p", { class: "soft" }, same ? `${plural(same, "key is", "keys are")} the same.` : "");
  if (!differing.length) return card(title, {}, el("p", { class: "empty" }, "Nothing differs. "), note);
  const keys = table(
    title,
    [
      {
        title: "Key",
        cell: (/** @type {Difference} */ row) => el("code", {}, row.name),
        sort: row => row.name,
      },
      { title: "A", cell: row => row.a },
      { title: "B", cell: row => row.b },
    ],
    differing,
  );
  return card(title, {}, keys.element, note);
}
