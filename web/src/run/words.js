/** Sentences about a run: what a tooltip, a screen reader and a headline say. */

import {
  bytes,
  count,
  dollars,
  figure,
  milliseconds,
  moment,
  percent,
  plural,
  seconds,
} from "../shared/format.js";
import { look } from "./phases.js";

/**
 * @import { Bar } from "./timeline-model.js"
 * @import { Mark, Rank, RunView } from "../shared/types.js"
 */

/**
 * Describe a bar of the timeline: a headline, and one line per figure.
 *
 * @param {Bar} bar
 * @returns {string[]}
 */
export function describeBar(bar) {
  const { attempt, link } = bar.attempt;
  const of = `rank ${bar.rank}${attempt > 1 ? `, attempt ${attempt}` : ""}${link > 1 ? `, link ${link} of the chain` : ""}`;
  const when = `${moment(bar.start)} to ${moment(bar.end)}, ${seconds(bar.end - bar.start)}`;
  if (bar.kind === "interval") {
    const [phase, , , note] = bar.interval;
    return [`${look(phase).title}, ${of}`, when, note].filter(Boolean);
  }
  const [start, end, first, rounds, compute, wait, waitedFor] = bar.bucket;
  const rest = Math.max(0, end - start - compute - wait);
  return [
    `${rounds > 1 ? `Rounds ${count(first)} to ${count(first + rounds - 1)}` : `Round ${count(first)}`}, ${of}`,
    when,
    `Compute and exchange ${seconds(compute)}`,
    waitedFor >= 0 ? `Wait ${seconds(wait)}, longest for rank ${waitedFor}` : `Wait ${seconds(wait)}`,
    `Between rounds ${seconds(rest)}`,
  ];
}

/** @param {Mark} mark */
export function describeMark(mark) {
  const facts = [
    mark.rank === null ? "" : `rank ${mark.rank}`,
    mark.round === null ? "" : `round ${count(mark.round)}`,
    mark.cost_s === null ? "" : `cost ${seconds(mark.cost_s)}`,
  ];
  return [mark.text, [`at ${moment(mark.at)}`, ...facts].filter(Boolean).join(", ")];
}

/**
 * Say in one sentence who was waited for.
 *
 * @param {RunView} view
 */
export function stragglerSentence(view) {
  const straggler = view.straggler;
  if (!straggler) return view.ranks.length > 1 && view.rounds.done ? "No rank stood out as a straggler." : "";
  return `The others waited ${seconds(straggler.waited_s)} for rank ${straggler.rank}, ${percent(straggler.share)} of the time in rounds: in ${roundsOf(straggler)}.`;
}

/** @param {NonNullable<RunView["straggler"]>} straggler */
function roundsOf({ rounds, first_round, last_round }) {
  if (first_round === last_round) return `round ${count(first_round)}`;
  return `${plural(rounds, "round")} between ${count(first_round)} and ${count(last_round)}`;
}

/**
 * The figures of the headline: what it is, and its value.
 *
 * @param {RunView} view
 * @returns {[string, string][]}
 */
export function keyFigures(view) {
  const last = view.epochs.at(-1);
  const { rounds, summary } = view;
  const workers = view.ranks.length || Number(view.job.n_workers);
  /** @type {[string, string | null][]} */
  const figures = [
    ["Time", seconds(view.seconds)],
    ["Loss", last ? figure(last.loss) : null],
    ["Validation loss", last?.validation?.loss === undefined ? null : figure(last.validation.loss)],
    ["Accuracy", last?.metrics.accuracy === undefined ? null : percent(last.metrics.accuracy)],
    ["Epochs", last ? of(last.epoch, view.job.n_epochs) : null],
    ["Rounds", rounds.done ? of(rounds.done, rounds.planned) : null],
    ["Round, median", rounds.p50_ms ? milliseconds(rounds.p50_ms) : null],
    ["Round, 99 %", rounds.p99_ms ? milliseconds(rounds.p99_ms) : null],
    ["Workers", workers ? count(workers) : null],
    ["Rows per second", summary?.rows_per_s ? count(summary.rows_per_s) : null],
    ["Cost on AWS", summary?.cost_usd ? dollars(summary.cost_usd) : null],
  ];
  return /** @type {[string, string][]} */ (figures.filter(([, value]) => value !== null));
}

/**
 * @param {number} done
 * @param {unknown} planned
 */
function of(done, planned) {
  return typeof planned === "number" && planned > done ? `${count(done)} of ${count(planned)}` : count(done);
}

/** @param {Rank} rank */
export const traffic = rank => `sent ${bytes(rank.sent_bytes)}, received ${bytes(rank.received_bytes)}`;
