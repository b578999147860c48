/** Paint the timeline on its canvas. */

import { moment } from "../shared/format.js";
import { colour } from "../shared/theme.js";
import { drawMark, fillOf, lookOf } from "./phases.js";
import { beginOf, digitsOf, ticks } from "./timeline-model.js";

/**
 * @import { Attempt, Bucket, Mark } from "../shared/types.js"
 * @import { Bar, Row, Span } from "./timeline-model.js"
 * @typedef {{
 *   width: number, height: number, gutter: number, top: number, rows: Row[], span: Span, now: number,
 *   marks: Mark[], straggler: number, focused: Bar | null, focusedMark: Mark | null, selection: [number, number] | null,
 * }} Scene `gutter` is what the ranks' names take on the left, `top` what the axis and the marks of the run take.
 */

/** The height of the lane of the run's own marks, px. */
export const RUN_LANE = 16;
const FONT = "11px system-ui, sans-serif";
const SMALL_FONT = "9.5px system-ui, sans-serif";

/**
 * @param {Scene} scene
 * @param {number} at Seconds.
 */
export function xOf({ gutter, width, span }, at) {
  return gutter + ((at - span.from) / (span.to - span.from)) * (width - gutter);
}

/**
 * Where a mark stands.
 *
 * @param {Scene} scene
 * @param {Mark} mark
 * @returns {[number, number]}
 */
export function placeOf(scene, mark) {
  const row = mark.rank === null ? undefined : scene.rows.find(one => one.rank === mark.rank);
  return [xOf(scene, mark.at), row ? row.top + row.height / 2 : scene.top - RUN_LANE / 2];
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
export function paint(pen, scene) {
  const { width, height, gutter, top } = scene;
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  pen.textBaseline = "middle";
  paintAxis(pen, scene);
  paintNames(pen, scene);
  pen.save();
  pen.beginPath();
  pen.rect(gutter, 0, width - gutter, height);
  pen.clip();
  paintTracks(pen, scene);
  paintBars(pen, scene);
  paintEnds(pen, scene);
  for (const mark of scene.marks) {
    const [x, y] = placeOf(scene, mark);
    if (x < gutter - 8 || x > width + 8) continue;
    if (mark.rank === null) {
      pen.strokeStyle = colour("line-strong");
      pen.setLineDash([2, 3]);
      pen.beginPath();
      pen.moveTo(x, top - RUN_LANE / 2);
      pen.lineTo(x, height);
      pen.stroke();
      pen.setLineDash([]);
    }
    const row = scene.rows[0];
    drawMark(pen, mark.kind, x, y, row && row.laneHeight < 12 ? 4.5 : 6);
  }
  paintFocus(pen, scene);
  pen.restore();
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function paintAxis(pen, scene) {
  const { width, height, gutter, span } = scene;
  pen.textAlign = "center";
  const moments = ticks(span, (width - gutter) / 80);
  const digits = digitsOf(moments);
  for (const at of moments) {
    const x = Math.round(xOf(scene, at)) + 0.5;
    pen.strokeStyle = colour("line");
    pen.beginPath();
    pen.moveTo(x, 16);
    pen.lineTo(x, height);
    pen.stroke();
    pen.fillStyle = colour("soft");
    if (x > gutter + 14 && x < width - 16) pen.fillText(axisLabel(at, span, digits), x, 8);
  }
}

/**
 * @param {number} at
 * @param {Span} span
 * @param {number} digits Behind the point.
 */
function axisLabel(at, span, digits) {
  const clean = Math.abs(at) < 1e-9 ? 0 : at;
  if (span.to > 180) return moment(clean).replace(/\.00$/, "");
  return `${clean.toFixed(digits)} s`;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function paintNames(pen, { rows, gutter, straggler, top }) {
  pen.textAlign = "right";
  pen.fillStyle = colour("soft");
  if (gutter > 50) pen.fillText("Run", gutter - 10, top - RUN_LANE / 2);
  for (const row of rows) {
    const middle = row.top + row.height / 2;
    const named = row.rank === straggler;
    pen.fillStyle = colour(named ? "warn" : "text");
    const font = row.height < 13 ? SMALL_FONT : FONT;
    pen.font = named ? `bold ${font}` : font;
    pen.fillText(gutter > 50 ? `Rank ${row.rank}` : String(row.rank), gutter - 10, middle + 0.5);
    if (named) {
      pen.beginPath();
      pen.moveTo(gutter - 8, middle - 4);
      pen.lineTo(gutter - 2, middle);
      pen.lineTo(gutter - 8, middle + 4);
      pen.fill();
    }
  }
  pen.font = FONT;
}

/**
 * The time from an attempt's begin to its end, on which its bars lie.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function paintTracks(pen, scene) {
  pen.fillStyle = colour("sunk");
  for (const row of scene.rows)
    row.lanes.forEach((lane, index) => {
      for (const attempt of lane) {
        const left = xOf(scene, beginOf(attempt));
        const right = xOf(scene, attempt.ended ?? scene.now);
        pen.fillRect(
          left,
          row.top + 1 + index * row.laneHeight,
          Math.max(1, right - left),
          row.laneHeight - 1,
        );
      }
    });
}

/** Looks from the ground up; all others lie above these. */
const ORDER = ["stay", "join", "exchange", "wait", "compute"];

/**
 * All bars of one look are one path: filling each rectangle by itself takes five times as long.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function paintBars(pen, scene) {
  /** @type {Map<string, Path2D>} */
  const paths = new Map(ORDER.map(name => [name, new Path2D()]));
  const pathOf = (/** @type {string} */ name) => {
    const path = paths.get(name) ?? new Path2D();
    paths.set(name, path);
    return path;
  };
  const { from, to } = scene.span;
  for (const row of scene.rows)
    row.lanes.forEach((lane, index) => {
      const y = row.top + 1 + index * row.laneHeight;
      const height = row.laneHeight - 1;
      for (const attempt of lane) {
        for (const [phase, start, end, note] of attempt.intervals) {
          if (end < from || start > to) continue;
          const x = xOf(scene, start);
          pathOf(lookOf(phase, note)).rect(x, y, Math.max(1, xOf(scene, end) - x), height);
        }
        const shown = attempt.buckets.filter(([start, end]) => end >= from && start <= to);
        for (const group of adjoining(shown, (0.5 * (to - from)) / (scene.width - scene.gutter)))
          addRounds(scene, group, y, height, pathOf);
      }
    });
  for (const [name, path] of paths) {
    pen.fillStyle = fillOf(pen, name);
    pen.fill(path);
  }
}

/**
 * Buckets that follow each other without a gap, as groups.
 *
 * @param {Bucket[]} buckets
 * @param {number} slack Seconds that are no gap.
 * @returns {Bucket[][]}
 */
function adjoining(buckets, slack) {
  /** @type {Bucket[][]} */
  const groups = [];
  for (const bucket of buckets) {
    const group = groups[groups.length - 1];
    if (group && bucket[0] - group[group.length - 1][1] <= slack) group.push(bucket);
    else groups.push([bucket]);
  }
  return groups;
}

/**
 * Add buckets that follow each other: below each other, waiting, what lies between rounds, and computing with the
 * exchange, each as high as its share of the time. Waiting and computing are one outline each, which is drawn faster
 * than many bars.
 *
 * @param {Scene} scene
 * @param {Bucket[]} group
 * @param {number} y
 * @param {number} height
 * @param {(name: string) => Path2D} pathOf
 */
function addRounds(scene, group, y, height, pathOf) {
  const left = xOf(scene, group[0][0]);
  const right = Math.max(left + 0.5, xOf(scene, group[group.length - 1][1]));
  const [wait, compute] = [pathOf("wait"), pathOf("compute")];
  pathOf("exchange").rect(left, y, right - left, height);
  wait.moveTo(left, y);
  compute.moveTo(left, y + height);
  let x = left;
  group.forEach(([start, end, , , computed, waited], index) => {
    const length = Math.max(end - start, computed + waited, 1e-9);
    const next = index + 1 < group.length ? xOf(scene, group[index + 1][0]) : right;
    const waiting = y + (waited / length) * height;
    const computing = y + height - (computed / length) * height;
    wait.lineTo(x, waiting);
    wait.lineTo(next, waiting);
    compute.lineTo(x, computing);
    compute.lineTo(next, computing);
    x = next;
  });
  wait.lineTo(right, y);
  wait.closePath();
  compute.lineTo(right, y + height);
  compute.closePath();
}

/**
 * An attempt that did not end well has a red end, and one that still runs an open one.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function paintEnds(pen, scene) {
  for (const row of scene.rows)
    row.lanes.forEach((lane, index) => {
      const y = row.top + 1 + index * row.laneHeight;
      for (const attempt of lane) {
        if (attempt.attempt > 1) {
          pen.fillStyle = colour("text");
          pen.fillRect(xOf(scene, beginOf(attempt)) - 0.5, y - 1, 1.5, row.laneHeight + 1);
        }
        if (attempt.outcome === "died" || attempt.outcome === "failed") {
          pen.fillStyle = colour("mark");
          pen.fillRect(xOf(scene, attempt.ended ?? scene.now) - 1.5, y - 1, 3, row.laneHeight + 1);
        }
      }
    });
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function paintFocus(pen, scene) {
  const { focused, focusedMark, selection, height } = scene;
  pen.strokeStyle = colour("text");
  pen.lineWidth = 2;
  if (focusedMark) {
    const [x, y] = placeOf(scene, focusedMark);
    pen.beginPath();
    pen.arc(x, y, 9, 0, 2 * Math.PI);
    pen.stroke();
  } else if (focused) {
    const left = xOf(scene, focused.start);
    const width = Math.max(2, xOf(scene, focused.end) - left);
    pen.strokeRect(left - 1, focused.top - 1, width + 2, focused.height + 1);
  }
  pen.lineWidth = 1;
  if (selection) {
    pen.fillStyle = colour("accent");
    pen.globalAlpha = 0.18;
    pen.fillRect(Math.min(...selection), 16, Math.abs(selection[1] - selection[0]), height - 16);
    pen.globalAlpha = 1;
  }
}

/**
 * Which looks a run's bars have, for its legend.
 *
 * @param {Attempt[]} attempts
 * @returns {Set<string>}
 */
export function looksOf(attempts) {
  const found = new Set();
  for (const attempt of attempts) {
    for (const [phase, , , note] of attempt.intervals) found.add(lookOf(phase, note));
    if (attempt.buckets.length) for (const name of ["compute", "wait", "exchange"]) found.add(name);
  }
  return found;
}
