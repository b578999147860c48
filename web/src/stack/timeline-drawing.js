/** Drawing of the timeline: lanes below each other, bars in them, and a time axis on top. */

import { colour } from "../shared/theme.js";
import { ticks } from "./lanes.js";

/**
 * @import { Bar, Lane } from "./lanes.js"
 * @typedef {object} Scene
 * @property {Lane[]} lanes
 * @property {number} from Seconds since the epoch.
 * @property {number} to Seconds since the epoch.
 * @property {number} now Seconds since the epoch.
 * @property {number} width Pixels.
 * @property {number|null} selected
 * @property {number|null} hovered
 *
 * @typedef {{ lane: Lane, y: number }} PlacedLane
 * @typedef {{ name: string, y: number }} PlacedName
 */

const [AXIS, NAME, LANE, BAR, GUTTER, LABEL_WIDTH] = [22, 20, 16, 10, 64, 72];
const FONT = "system-ui, sans-serif";

/** @param {Lane[]} lanes */
function place(lanes) {
  let y = AXIS;
  let name = "";
  /** @type {PlacedLane[]} */
  const placed = [];
  /** @type {PlacedName[]} */
  const names = [];
  for (const lane of lanes) {
    if (lane.function !== name) {
      name = lane.function;
      names.push({ name, y });
      y += NAME;
    }
    placed.push({ lane, y });
    y += LANE;
  }
  return { placed, names, height: y + 6 };
}

/**
 * @param {Scene} scene
 * @returns {(at: number) => number} The pixel of a moment.
 */
function scaleOf({ from, to, width }) {
  const perSecond = (width - GUTTER) / (to - from);
  return at => GUTTER + (at - from) * perSecond;
}

/**
 * Return the number of the attempt at a point; null if there is none.
 *
 * @param {Scene} scene
 * @param {number} x
 * @param {number} y
 */
export function findBar(scene, x, y) {
  const found = place(scene.lanes).placed.find(one => y >= one.y && y < one.y + LANE);
  if (!found || x < GUTTER) return null;
  const at = scaleOf(scene);
  const within = found.lane.bars.filter(bar => at(bar.queued) - 4 <= x && x <= at(bar.end) + 4);
  // Of bars that touch, the one that begins last; a bar goes before the line of another one that waits.
  const running = within.filter(bar => bar.start !== null && at(bar.start) - 4 <= x);
  return (running.at(-1) ?? within.at(-1))?.number ?? null;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 */
export function drawTimeline(canvas, scene) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { placed, names, height } = place(scene.lanes);
  const ratio = devicePixelRatio || 1;
  const [wide, high] = [Math.round(scene.width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.height = `${height}px`;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, scene.width, height);
  drawAxis(context, scene, height);
  for (const { name, y } of names) drawName(context, name, y, scene.width);
  for (const { lane, y } of placed) drawLane(context, lane, y, scene);
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} height */
function drawAxis(context, scene, height) {
  const at = scaleOf(scene);
  context.font = `11px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (const tick of ticks(scene.from, scene.to, Math.max(2, (scene.width - GUTTER) / LABEL_WIDTH))) {
    const x = Math.round(at(tick.at)) + 0.5;
    context.fillStyle = colour("line");
    context.fillRect(x, AXIS - 4, 1, height - AXIS);
    if (x < GUTTER + 24 || x > scene.width - 24) continue;
    context.fillStyle = colour("soft");
    context.fillText(tick.label, x, AXIS / 2 - 1);
  }
  const present = at(scene.now);
  if (present <= scene.width) {
    context.fillStyle = colour("accent");
    context.fillRect(Math.round(present), AXIS - 4, 1, height - AXIS);
  }
}

/** @param {CanvasRenderingContext2D} context @param {string} name @param {number} y @param {number} width */
function drawName(context, name, y, width) {
  context.font = `600 12px ${FONT}`;
  context.textAlign = "left";
  context.fillStyle = colour("text");
  context.fillText(fitted(context, name, width - 8), 2, y + NAME / 2 + 2);
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} width */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let short = text;
  while (short && context.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}

/** @param {CanvasRenderingContext2D} context @param {Lane} lane @param {number} y @param {Scene} scene */
function drawLane(context, lane, y, scene) {
  context.font = `11px ${FONT}`;
  context.textAlign = "left";
  context.fillStyle = colour("soft");
  context.fillText(lane.environment ? lane.environment.slice(0, 7) : "waiting", 10, y + LANE / 2);
  context.save();
  context.beginPath();
  context.rect(GUTTER, y - 2, scene.width - GUTTER, LANE + 4);
  context.clip();
  const at = scaleOf(scene);
  for (const bar of lane.bars) drawWait(context, bar, y, scene, at);
  for (const bar of lane.bars) drawRun(context, bar, y, scene, at);
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Bar} bar
 * @param {number} y
 * @param {Scene} scene
 * @param {(at: number) => number} at
 */
function drawWait(context, bar, y, scene, at) {
  const [from, to] = [at(bar.queued), at(bar.start ?? bar.end)];
  const refused = bar.start === null && !bar.open;
  if (to - from > 1) {
    context.strokeStyle = colour(bar.state === "throttled" ? "warn" : "line-strong");
    context.lineWidth = 2;
    context.setLineDash(bar.state === "throttled" ? [6, 3] : bar.again ? [2, 3] : []);
    context.beginPath();
    context.moveTo(from, y + LANE / 2);
    context.lineTo(to, y + LANE / 2);
    context.stroke();
    context.setLineDash([]);
  }
  if (refused) drawDiamond(context, to, y + LANE / 2, colour(bar.state === "throttled" ? "warn" : "bad"));
  if (bar.start === null && bar.number === scene.selected) outline(context, from, to, y);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Bar} bar
 * @param {number} y
 * @param {Scene} scene
 * @param {(at: number) => number} at
 */
function drawRun(context, bar, y, scene, at) {
  if (bar.start === null) return;
  const [start, warm] = [at(bar.start), at(bar.warm)];
  const end = Math.max(at(bar.end), start + 2);
  if (end < GUTTER || start > scene.width) return;
  const top = y + (LANE - BAR) / 2;
  const failed = bar.state === "failed" || bar.state === "given_up";
  context.fillStyle = colour(
    failed ? "bad" : bar.open ? "load" : bar.state === "dropped" ? "warn" : "compute",
  );
  context.fillRect(start, top, end - start, BAR);
  if (warm - start > 0.5) drawCold(context, start, warm, top);
  // Bars that follow each other at once stay two bars.
  context.fillStyle = colour("card");
  context.fillRect(end - 0.5, top, 1, BAR);
  if (failed) drawCross(context, end, y + LANE / 2);
  if (bar.number === scene.selected) outline(context, start, end, y);
  else if (bar.number === scene.hovered) outline(context, start, end, y, 1);
}

/** @param {CanvasRenderingContext2D} context @param {number} from @param {number} to @param {number} top */
function drawCold(context, from, to, top) {
  context.save();
  context.beginPath();
  context.rect(from, top, to - from, BAR);
  context.clip();
  context.fillStyle = colour("start");
  context.fillRect(from, top, to - from, BAR);
  context.strokeStyle = colour("card");
  context.lineWidth = 1.5;
  const left = Math.max(from, 0);
  for (let x = left - (left % 6) - BAR; x < Math.min(to, left + 4000); x += 6) {
    context.beginPath();
    context.moveTo(x, top + BAR);
    context.lineTo(x + BAR, top);
    context.stroke();
  }
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y A cross in a ground of its own. */
function drawCross(context, x, y) {
  context.lineCap = "round";
  for (const [style, width] of /** @type {[string, number][]} */ ([
    ["card", 5],
    ["bad", 2],
  ])) {
    context.strokeStyle = colour(style);
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x - 4, y - 4);
    context.lineTo(x + 4, y + 4);
    context.moveTo(x + 4, y - 4);
    context.lineTo(x - 4, y + 4);
    context.stroke();
  }
  context.lineCap = "butt";
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {string} style */
function drawDiamond(context, x, y, style) {
  context.fillStyle = style;
  context.beginPath();
  context.moveTo(x, y - 5);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 5);
  context.lineTo(x - 5, y);
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} from
 * @param {number} to
 * @param {number} y
 * @param {number} [width]
 */
function outline(context, from, to, y, width = 2) {
  context.strokeStyle = colour("text");
  context.lineWidth = width;
  context.strokeRect(from - 1.5, y + (LANE - BAR) / 2 - 2, to - from + 3, BAR + 4);
}
