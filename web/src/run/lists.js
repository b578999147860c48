/** The parts of a run that are words: headline, shares, marks, ranks, job, versions. */

import { card, el, fill, table } from "../shared/dom.js";
import { bytes, count, megabytes, moment, NONE, percent, plain, seconds } from "../shared/format.js";
import { compareAddress } from "../shared/router.js";
import { drawSwatch, MARKS, swatch } from "./phases.js";
import { keyFigures, stragglerSentence } from "./words.js";

/**
 * @import { Attempt, Mark, Rank, RunView, Share } from "../shared/types.js"
 * @import { Column } from "../shared/dom.js"
 * @import { Card } from "./cards.js"
 */

/** @type {Record<string, string>} */
const STATUS = {
  running: "busy",
  succeeded: "good",
  failed: "bad",
  stopped: "warn",
  unfinished: "warn",
  damaged: "bad",
};

/** @param {string} status */
export const statusBadge = status => el("span", { class: `badge ${STATUS[status] ?? ""}` }, status);

/**
 * The run in short.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function headline(first) {
  const body = el("div", { class: "body" });
  const element = el("section", { class: "headline", "aria-label": "The run in short" }, body);
  /** @param {RunView} view */
  function update(view) {
    const where = [
      view.target === "local" ? "on this machine" : `target ${view.target}`,
      view.mode && `${view.mode} mode`,
    ];
    const model = view.job.model ? plain(view.job.model) : "";
    const what = [model, view.job.dataset ? `on ${plain(view.job.dataset)}` : "", ...where]
      .filter(Boolean)
      .join(", ");
    const straggler = stragglerSentence(view);
    const warnings = /** @type {string[]} */ (view.summary?.warnings ?? []);
    fill(
      body,
      el(
        "div",
        { class: "title" },
        el("h1", {}, "Run ", el("span", { class: "mono" }, view.run_id)),
        statusBadge(view.status),
      ),
      el("p", { class: "soft" }, what),
      view.cause && el("p", { class: "notice bad" }, el("b", {}, "It failed: "), view.cause),
      el(
        "dl",
        { class: "key-figures" },
        keyFigures(view).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
      ),
      straggler &&
        el(
          "p",
          { class: view.straggler ? "notice warn" : "soft" },
          view.straggler ? el("b", {}, "Straggler: ") : null,
          straggler,
        ),
      warnings.map(text => el("p", { class: "notice warn" }, text)),
    );
  }
  update(first);
  return { element, update, unmount() {} };
}

/**
 * Where the time went.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function sharesCard(first) {
  const place = el("div", {});
  const element = card("Where the time went", { class: "third" }, place);
  /** @param {RunView} view */
  function update(view) {
    if (!view.shares.length) {
      fill(
        place,
        el(
          "p",
          { class: "empty" },
          view.status === "running" ? "Nothing is known yet." : "Nothing is known.",
        ),
      );
      return;
    }
    fill(
      place,
      view.advice && el("p", { class: "notice advice" }, el("b", {}, "What would help most: "), view.advice),
      sharesBar(view.shares, view.seconds),
      el(
        "ul",
        { class: "shares" },
        view.shares.map(share => shareLine(share, view.seconds)),
      ),
    );
    for (const one of place.querySelectorAll("canvas")) drawSwatch(one);
  }
  update(first);
  return { element, update, unmount() {} };
}

/**
 * A bar of shares; the list beside it says the same in words.
 *
 * @param {Share[]} shares
 * @param {number} whole Seconds of the whole bar.
 */
export function sharesBar(shares, whole) {
  return el(
    "div",
    { class: "shares-bar", "aria-hidden": "true" },
    shares.map(share =>
      el("i", {
        title: `${share.name}: ${seconds(share.seconds)}`,
        style: {
          width: `${(share.seconds / Math.max(whole, 1e-9)) * 100}%`,
          background: `var(--${share.name}, var(--other))`,
        },
      }),
    ),
  );
}

/**
 * @param {Share} share
 * @param {number} whole
 */
function shareLine(share, whole) {
  return el(
    "li",
    {},
    el("i", { class: "box", style: { background: `var(--${share.name}, var(--other))` } }),
    el("b", {}, share.name),
    el(
      "span",
      { class: "figure" },
      `${seconds(share.seconds)}, ${percent(share.seconds / Math.max(whole, 1e-9))}`,
    ),
    el("span", { class: "soft text" }, share.text),
  );
}

/** @type {Column<Mark>[]} */
const MARK_COLUMNS = [
  { title: "At", cell: mark => moment(mark.at), number: true, sort: mark => mark.at },
  {
    title: "What",
    cell: mark => [swatch("mark", mark.kind), " ", MARKS[mark.kind]?.title ?? mark.kind],
    sort: mark => mark.kind,
  },
  { title: "Rank", cell: mark => mark.rank ?? NONE, number: true, sort: mark => mark.rank },
  { title: "Round", cell: mark => count(mark.round), number: true, sort: mark => mark.round },
  { title: "Cost", cell: mark => seconds(mark.cost_s), number: true, sort: mark => mark.cost_s },
  { title: "", cell: mark => mark.text },
];

/**
 * What happened, and what this view lacks.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function marksCard(first) {
  const marks = table("What happened", MARK_COLUMNS, first.marks);
  marks.element.classList.add("high");
  const gaps = el("div", {});
  const empty = el("p", { class: "empty" }, "No fault, no retry, no checkpoint.");
  const element = card("What happened", { class: "two-thirds" }, empty, marks.element, gaps);
  /** @param {RunView} view */
  function update(view) {
    empty.hidden = view.marks.length > 0;
    marks.element.hidden = view.marks.length === 0;
    marks.update(view.marks);
    fill(
      gaps,
      view.gaps.length > 0 && [
        el("h3", { class: "below" }, "What this view lacks"),
        el(
          "ul",
          { class: "plain" },
          view.gaps.map(gap => el("li", {}, gap)),
        ),
      ],
    );
  }
  update(first);
  return { element, update, unmount() {} };
}

/** @type {Record<string, string>} */
const OUTCOMES = {
  finished: "good",
  failed: "bad",
  died: "bad",
  running: "busy",
  handed_on: "",
  superfluous: "warn",
};

/** @param {Attempt} attempt */
function outcome(attempt) {
  const text = attempt.outcome.replace("_", " ");
  return el("span", { class: `badge ${OUTCOMES[attempt.outcome] ?? ""}`, title: attempt.cause }, text);
}

/** @type {Column<Rank>[]} */
const RANK_COLUMNS = [
  { title: "Rank", cell: rank => rank.rank, number: true, sort: rank => rank.rank },
  { title: "State", cell: rank => rank.state, sort: rank => rank.state },
  { title: "Round", cell: rank => count(rank.round), number: true, sort: rank => rank.round },
  {
    title: "Rows",
    cell: rank => (rank.rows ? count(rank.rows) : NONE),
    number: true,
    sort: rank => rank.rows,
  },
  {
    title: "Compute and exchange",
    cell: rank => seconds(rank.compute_s),
    number: true,
    sort: rank => rank.compute_s,
  },
  { title: "Wait", cell: rank => seconds(rank.wait_s), number: true, sort: rank => rank.wait_s },
  { title: "Waited for it", cell: rank => seconds(rank.blamed_s), number: true, sort: rank => rank.blamed_s },
  {
    title: "CPU",
    cell: rank => (rank.cpu_s ? seconds(rank.cpu_s) : NONE),
    number: true,
    sort: rank => rank.cpu_s,
  },
  {
    title: "Memory",
    cell: rank => (rank.max_rss_mb ? megabytes(rank.max_rss_mb) : NONE),
    number: true,
    sort: rank => rank.max_rss_mb,
  },
  { title: "Sent", cell: rank => bytes(rank.sent_bytes), number: true, sort: rank => rank.sent_bytes },
  {
    title: "Received",
    cell: rank => bytes(rank.received_bytes),
    number: true,
    sort: rank => rank.received_bytes,
  },
  { title: "Attempts", cell: rank => rank.attempts.map(outcome) },
];

/**
 * The timeline as a table: a row per rank, with all its figures.
 *
 * @param {RunView} first
 * @returns {{ element: HTMLElement, update: (view: RunView) => void }}
 */
export function ranksTable(first) {
  let view = first;
  const ranks = table("Ranks", RANK_COLUMNS, first.ranks, rank => ({
    class: rank.rank === view.straggler?.rank ? "straggler" : undefined,
  }));
  const element = el(
    "details",
    {
      class: "ranks",
      open: first.ranks.length <= 8,
      ontoggle: () => element.open && ranks.update(view.ranks),
    },
    el("summary", {}, "Ranks as a table"),
    ranks.element,
  );
  return {
    element,
    update(next) {
      view = next;
      if (element.open) ranks.update(view.ranks);
    },
  };
}

/**
 * The job, with what the data chose.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function jobCard(first) {
  const place = el("div", {});
  let shown = "";
  /** @param {RunView} view */
  function update(view) {
    const text = JSON.stringify([view.job, view.chosen]);
    if (text === shown) return;
    shown = text;
    fill(place, pairs(view.job, new Set(Object.keys(view.chosen))));
  }
  update(first);
  return { element: card("Job", {}, place), update, unmount() {} };
}

/**
 * Where the model is, and what the run ran on.
 *
 * @param {RunView} first
 * @returns {Card}
 */
export function modelCard(first) {
  const place = el("div", {});
  /** @param {RunView} view */
  function update(view) {
    const model = /** @type {{ location?: string } | undefined} */ (view.summary?.model);
    fill(
      place,
      model?.location
        ? [
            el("p", { class: "location" }, el("code", {}, model.location)),
            el(
              "p",
              { class: "soft" },
              "To predict with it: ",
              el("code", {}, `harness predict ${view.run_id}`),
            ),
          ]
        : el(
            "p",
            { class: "empty" },
            view.status === "running"
              ? "The model is stored when the run is over."
              : "This run left no model.",
          ),
      el("h3", { class: "below" }, "Versions"),
      pairs(view.versions, new Set()),
    );
  }
  update(first);
  return { element: card("Model", { class: "third" }, place), update, unmount() {} };
}

/**
 * @param {Record<string, unknown>} record
 * @param {Set<string>} chosen Keys that the data chose.
 */
function pairs(record, chosen) {
  const entries = Object.entries(record).sort(([a], [b]) => a.localeCompare(b));
  if (!entries.length) return el("p", { class: "empty" }, "Nothing is known.");
  return el(
    "dl",
    { class: "pairs" },
    entries.map(([key, value]) =>
      el(
        "div",
        { class: value === null || value === "" ? "unset" : undefined },
        el("dt", {}, key),
        el(
          "dd",
          {},
          plain(value) || NONE,
          chosen.has(key) && el("span", { class: "badge", title: "The data chose it" }, "by the data"),
        ),
      ),
    ),
  );
}

/**
 * @param {string} id
 * @param {{ run_id: string }[]} runs
 */
export function compareChoice(id, runs) {
  const others = runs.filter(run => run.run_id !== id);
  if (!others.length) return null;
  const select = el(
    "select",
    {
      "aria-label": "Compare with another run",
      onchange() {
        location.hash = compareAddress(id, select.value);
      },
    },
    el("option", { value: "" }, "Compare with …"),
    others.map(run => el("option", { value: run.run_id }, run.run_id)),
  );
  return select;
}
