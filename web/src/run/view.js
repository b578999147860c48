/** One run: its headline, its curves, its timeline, and everything else that is known of it. */

import { getRun, getState, isReport, reportedViews, ServerError, subscribe } from "../shared/data.js";
import { append, card, el, fill } from "../shared/dom.js";
import { paced } from "../shared/pace.js";
import { curvesCard, memoryCard, roundsCard, trafficCard } from "./cards.js";
import { compareChoice, headline, jobCard, marksCard, modelCard, ranksTable, sharesCard } from "./lists.js";
import { logCard } from "./log.js";
import { makeTimeline } from "./timeline.js";

/**
 * @import { RunView, Unmount } from "../shared/types.js"
 * @import { Span } from "./timeline-model.js"
 * @import { Card } from "./cards.js"
 */

/** A view is asked for and drawn at most so often. */
const SOONEST_MS = 1000;
const REFINE_MS = 250;

/**
 * @param {HTMLElement} place
 * @param {string} id
 * @returns {Unmount}
 */
export function mountRun(place, id) {
  /** @type {Card[]} */
  let cards = [];
  let over = false;

  async function load() {
    try {
      const view = await getRun(id);
      if (over) return;
      if (cards.length) for (const one of cards) one.update(view);
      else cards = build(place, view).map(whenSeen);
      document.title = `${view.run_id} · ${view.status}`;
    } catch (error) {
      if (!over && !cards.length) showError(place, id, error);
    }
  }

  const loading = paced(load, SOONEST_MS);
  const stops = [
    loading.stop,
    subscribe("run", changed => changed.run_id === id && loading.ask()),
    subscribe("connection", connection => connection === "live" && loading.ask()),
  ];
  fill(place, el("p", { class: "empty" }, `Reading run ${id} …`));
  loading.ask();
  return () => {
    over = true;
    for (const stop of stops) stop();
    for (const one of cards) one.unmount();
  };
}

/**
 * Update a card only while it is near the window, and otherwise when it gets there.
 *
 * @param {Card} one
 * @returns {Card}
 */
function whenSeen(one) {
  let seen = true;
  /** @type {RunView | null} */
  let missed = null;
  const observer = new IntersectionObserver(
    entries => {
      seen = entries[entries.length - 1].isIntersecting;
      if (seen && missed) one.update(missed);
      if (seen) missed = null;
    },
    { rootMargin: "150px" },
  );
  observer.observe(one.element);
  return {
    element: one.element,
    update(view) {
      if (seen) one.update(view);
      else missed = view;
    },
    unmount() {
      observer.disconnect();
      one.unmount();
    },
  };
}

/**
 * @param {HTMLElement} place
 * @param {string} id
 * @param {unknown} error
 */
export function showError(place, id, error) {
  const message = error instanceof Error ? error.message : String(error);
  fill(
    place,
    el(
      "h1",
      {},
      error instanceof ServerError && error.status === 404 ? `No run ${id}` : `Run ${id} cannot be shown`,
    ),
    el("p", { class: "notice bad message" }, message),
    el("p", {}, el("a", { href: "#/" }, "Go to the overview")),
  );
}

/**
 * @param {HTMLElement} place
 * @param {RunView} view
 * @returns {Card[]}
 */
function build(place, view) {
  const cards = [
    headline(view),
    curvesCard(view),
    sharesCard(view),
    timelineCard(view),
    roundsCard(view),
    trafficCard(view),
    memoryCard(view),
    marksCard(view),
    modelCard(view),
    jobCard(view),
    logCard(view),
  ];
  fill(
    place,
    el(
      "div",
      { class: "grid" },
      cards.map(one => one.element),
    ),
  );
  void offerComparison(cards[0].element, view.run_id);
  return cards;
}

/**
 * @param {HTMLElement} place
 * @param {string} id
 */
async function offerComparison(place, id) {
  try {
    append(place, compareChoice(id, isReport ? reportedViews() : (await getState()).runs));
  } catch {
    // The run alone is shown.
  }
}

/**
 * @param {RunView} first
 * @returns {Card}
 */
function timelineCard(first) {
  let timer = 0;
  /** @type {Span | null} */
  let shown = null;
  const timeline = makeTimeline(first, { onSpan: span => refineLater(span) });
  const ranks = ranksTable(first);
  const element = card(
    "Timeline of the ranks",
    { class: "wide", controls: timeline.elements.controls },
    timeline.elements.body,
    ranks.element,
  );

  /** @param {Span | null} span */
  function refineLater(span) {
    shown = span;
    clearTimeout(timer);
    timer = 0;
    if (!isReport && span) timer = setTimeout(() => void refine(span), REFINE_MS);
  }

  /** @param {Span} span */
  async function refine(span) {
    try {
      const finer = await getRun(first.run_id, span);
      if (span === shown) timeline.refine(finer, span);
    } catch {
      // The buckets that are there stay.
    } finally {
      timer = 0;
    }
  }

  return {
    element,
    update(view) {
      timeline.update(view);
      ranks.update(view);
      if (shown && !timer && view.status === "running") refineLater(shown);
    },
    unmount() {
      clearTimeout(timer);
      timeline.unmount();
    },
  };
}
