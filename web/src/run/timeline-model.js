/** The arithmetic of the timeline: rows, scales, and which bar is where. No element is touched here. */

/**
 * @import { Attempt, Bucket, Interval, Rank, RunView } from "../shared/types.js"
 * @typedef {{ rank: number, lanes: Attempt[][], top: number, height: number, laneHeight: number }} Row `lanes` are
 *   attempts that follow each other; attempts at the same time are in different lanes.
 * @typedef {{ from: number, to: number }} Span Seconds.
 * @typedef {{ rank: number, attempt: Attempt, start: number, end: number, top: number, height: number }
 *   & ({ kind: "interval", interval: Interval } | { kind: "bucket", bucket: Bucket })} Bar
 */

/** The heights of rows that suit a number of ranks, px. */
const HEIGHTS = /** @type {const} */ ([
  [4, 30],
  [8, 24],
  [16, 18],
  [32, 14],
]);
const LOWEST = 11;

/** A link of a chain begins a little before the one before it has ended, seconds. */
const HANDOVER = 0.25;

/** @param {number} ranks */
export function rowHeight(ranks) {
  return HEIGHTS.find(([most]) => ranks <= most)?.[1] ?? LOWEST;
}

/**
 * Put attempts into lanes so that those of one lane do not overlap.
 *
 * @param {Attempt[]} attempts
 * @param {number} now Where an attempt ends that has no end.
 * @returns {Attempt[][]}
 */
export function lanesOf(attempts, now) {
  /** @type {Attempt[][]} */
  const lanes = [];
  for (const attempt of [...attempts].sort((a, b) => a.started - b.started)) {
    const start = beginOf(attempt);
    const lane = lanes.find(one => {
      const last = one[one.length - 1];
      return (last.ended ?? now) <= start + HANDOVER;
    });
    if (lane) lane.push(attempt);
    else lanes.push([attempt]);
  }
  return lanes.length ? lanes : [[]];
}

/**
 * When an attempt begins, its cold start included.
 *
 * @param {Attempt} attempt
 */
export function beginOf(attempt) {
  return Math.min(attempt.started, ...attempt.intervals.map(([, start]) => start));
}

/**
 * Lay out one row per rank.
 *
 * @param {Rank[]} ranks
 * @param {number} now
 * @param {number} top Where the first row begins, px.
 * @returns {Row[]}
 */
export function layOut(ranks, now, top) {
  const height = rowHeight(ranks.length);
  let at = top;
  return ranks.map(rank => {
    const lanes = lanesOf(rank.attempts, now);
    const rowTop = at;
    const whole = lanes.length > 1 ? Math.max(height, lanes.length * 9) : height;
    at += whole;
    return { rank: rank.rank, lanes, top: rowTop, height: whole, laneHeight: (whole - 2) / lanes.length };
  });
}

/**
 * The whole of a run.
 *
 * @param {RunView} view
 * @returns {Span}
 */
export function wholeSpan(view) {
  const starts = view.ranks.flatMap(rank => rank.attempts.map(beginOf));
  const ends = view.ranks.flatMap(rank => rank.attempts.map(attempt => attempt.ended ?? 0));
  const from = Math.min(0, ...starts);
  const to = Math.max(view.seconds, ...ends, ...view.marks.map(mark => mark.at));
  return { from, to: to > from ? to : from + 1 };
}

/** The shortest span that the timeline shows, seconds. */
const SHORTEST = 0.001;

/**
 * Zoom around a moment: a factor of 0.5 shows half as much.
 *
 * @param {Span} span
 * @param {Span} whole
 * @param {number} factor
 * @param {number} around
 * @returns {Span}
 */
export function zoom(span, whole, factor, around) {
  const length = Math.min(Math.max((span.to - span.from) * factor, SHORTEST), whole.to - whole.from);
  const share = (around - span.from) / (span.to - span.from);
  return within({ from: around - share * length, to: around + (1 - share) * length }, whole);
}

/**
 * Move a span.
 *
 * @param {Span} span
 * @param {Span} whole
 * @param {number} by Seconds.
 * @returns {Span}
 */
export function pan(span, whole, by) {
  return within({ from: span.from + by, to: span.to + by }, whole);
}

/**
 * Keep a span within the whole, as long as it is.
 *
 * @param {Span} span
 * @param {Span} whole
 * @returns {Span}
 */
export function within(span, whole) {
  const length = Math.min(span.to - span.from, whole.to - whole.from);
  const from = Math.min(Math.max(span.from, whole.from), whole.to - length);
  return { from, to: from + length };
}

/**
 * Round moments of an axis: steps of 1, 2 or 5 times a power of ten.
 *
 * @param {Span} span
 * @param {number} most How many fit.
 * @returns {number[]}
 */
export function ticks({ from, to }, most) {
  const rough = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find(one => one * power >= rough) ?? 10);
  const found = [];
  for (let index = Math.ceil(from / step - 1e-9) || 0; index * step <= to + step * 1e-9; index++)
    found.push(index * step);
  return found;
}

/**
 * How many digits behind the point tell round moments apart.
 *
 * @param {number[]} moments
 */
export function digitsOf([first, second]) {
  return second === undefined ? 1 : Math.max(0, -Math.floor(Math.log10(second - first) + 1e-9));
}

/**
 * All bars of a row in a span, in the order of their start: phases, and buckets of rounds.
 *
 * @param {Row} row
 * @param {Span} span
 * @returns {Bar[]}
 */
export function barsOf(row, { from, to }) {
  /** @type {Bar[]} */
  const bars = [];
  row.lanes.forEach((lane, index) => {
    const place = { rank: row.rank, top: row.top + 1 + index * row.laneHeight, height: row.laneHeight };
    for (const attempt of lane) {
      for (const bucket of attempt.buckets)
        if (bucket[1] >= from && bucket[0] <= to)
          bars.push({ ...place, attempt, kind: "bucket", bucket, start: bucket[0], end: bucket[1] });
      for (const interval of attempt.intervals)
        if (interval[2] >= from && interval[1] <= to)
          bars.push({ ...place, attempt, kind: "interval", interval, start: interval[1], end: interval[2] });
    }
  });
  return bars.sort((a, b) => a.start - b.start || a.end - b.end);
}

/**
 * The bar at a moment of a row, or the nearest within `slack` seconds; the shortest of several.
 *
 * @param {Bar[]} bars
 * @param {number} at
 * @param {number} slack
 * @param {number} [y] If known: only lanes at this height.
 * @returns {Bar | null}
 */
export function barAt(bars, at, slack, y) {
  let best = null;
  let bestScore = Number.POSITIVE_INFINITY;
  for (const bar of bars) {
    if (y !== undefined && (y < bar.top - 1 || y > bar.top + bar.height + 1)) continue;
    const distance = at < bar.start ? bar.start - at : at > bar.end ? at - bar.end : 0;
    if (distance > slack) continue;
    const score = distance * 1e6 + (bar.end - bar.start);
    if (score < bestScore) {
      best = bar;
      bestScore = score;
    }
  }
  return best;
}

/**
 * Put finer buckets of a span in the place of those that are there.
 *
 * @param {Rank[]} ranks
 * @param {Rank[]} finer The ranks of a view of the span alone.
 * @param {Span} span
 * @returns {Rank[]}
 */
export function refined(ranks, finer, { from, to }) {
  return ranks.map(rank => {
    const other = finer.find(one => one.rank === rank.rank);
    if (!other) return rank;
    const attempts = rank.attempts.map(attempt => {
      const same = other.attempts.find(one => one.attempt === attempt.attempt);
      if (!same?.buckets.length) return attempt;
      const first = same.buckets[0][2];
      const last = same.buckets[same.buckets.length - 1];
      const kept = attempt.buckets.filter(
        bucket =>
          bucket[1] <= from ||
          bucket[0] >= to ||
          bucket[2] + bucket[3] <= first ||
          bucket[2] >= last[2] + last[3],
      );
      return { ...attempt, buckets: [...kept, ...same.buckets].sort((a, b) => a[0] - b[0]) };
    });
    return { ...rank, attempts };
  });
}
