/** The phases of a rank: their names, their colours and their patterns, on canvases and in legends. */

import { colour } from "../shared/theme.js";

/**
 * @typedef {"plain" | "hatch" | "back" | "dots" | "cross"} Pattern
 * @typedef {{ title: string, colour: string, pattern: Pattern, ink: string }} Look `ink` is the colour of the pattern.
 */

/** @type {Record<string, Look>} */
const LOOKS = {
  start: { title: "Cold start", colour: "start", pattern: "plain", ink: "card" },
  "start-2": { title: "Cold start: imports", colour: "start", pattern: "dots", ink: "card" },
  load: { title: "Load", colour: "load", pattern: "back", ink: "card" },
  join: { title: "Join", colour: "join", pattern: "plain", ink: "card" },
  compute: { title: "Compute and exchange", colour: "compute", pattern: "plain", ink: "card" },
  wait: { title: "Wait for others", colour: "wait", pattern: "hatch", ink: "card" },
  exchange: { title: "Between rounds", colour: "exchange", pattern: "plain", ink: "card" },
  evaluate: { title: "Evaluate", colour: "evaluate", pattern: "cross", ink: "card" },
  checkpoint: { title: "Checkpoint", colour: "checkpoint", pattern: "plain", ink: "card" },
  store: { title: "Store", colour: "store", pattern: "dots", ink: "mark-quiet" },
  stay: { title: "Stay for others", colour: "stay", pattern: "plain", ink: "card" },
  other: { title: "Other", colour: "other", pattern: "plain", ink: "card" },
};

/** The order of a legend. */
export const PHASES = Object.keys(LOOKS);

/**
 * @param {string} phase
 * @returns {Look}
 */
export const look = phase => LOOKS[phase] ?? LOOKS.other;

/**
 * The look of an interval: the imports of a cold start have one of their own.
 *
 * @param {string} phase
 * @param {string} note
 */
export const lookOf = (phase, note) => (phase === "start" && note.includes("imports") ? "start-2" : phase);

/** @type {Map<string, CanvasPattern | string>} */
const fills = new Map();

/** Forget the patterns, as after a change of theme. */
export function forgetFills() {
  fills.clear();
}

/**
 * What to fill a phase's bars with.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} phase
 * @returns {CanvasPattern | string}
 */
export function fillOf(context, phase) {
  const known = fills.get(phase);
  if (known) return known;
  const { colour: name, pattern, ink } = look(phase);
  const made = pattern === "plain" ? colour(name) : patternOf(context, colour(name), colour(ink), pattern);
  fills.set(phase, made);
  return made;
}

const SIZE = 8;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} ground
 * @param {string} ink
 * @param {Pattern} pattern
 */
function patternOf(context, ground, ink, pattern) {
  const tile = document.createElement("canvas");
  tile.width = SIZE;
  tile.height = SIZE;
  const pen = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  pen.fillStyle = ground;
  pen.fillRect(0, 0, SIZE, SIZE);
  pen.globalAlpha = pattern === "hatch" ? 0.5 : 0.7;
  pen.strokeStyle = ink;
  pen.fillStyle = ink;
  pen.lineWidth = 1.2;
  pen.beginPath();
  if (pattern === "dots") {
    for (const [x, y] of [
      [2, 2],
      [6, 6],
    ])
      pen.fillRect(x - 1, y - 1, 2, 2);
  }
  if (pattern === "hatch" || pattern === "cross")
    for (const shift of [-SIZE, 0, SIZE]) {
      pen.moveTo(shift - 1, SIZE + 1);
      pen.lineTo(shift + SIZE + 1, -1);
    }
  if (pattern === "back" || pattern === "cross")
    for (const shift of [-SIZE, 0, SIZE]) {
      pen.moveTo(shift - 1, -1);
      pen.lineTo(shift + SIZE + 1, SIZE + 1);
    }
  pen.stroke();
  return context.createPattern(tile, "repeat") ?? ground;
}

/**
 * The glyphs of marks, and what they are called.
 *
 * @type {Record<string, { title: string, colour: string, draw: (pen: CanvasRenderingContext2D, r: number) => void }>}
 */
export const MARKS = {
  fault: {
    title: "Fault",
    colour: "mark",
    draw: (pen, r) => {
      pen.moveTo(0.3 * r, -r);
      pen.lineTo(-0.8 * r, 0.25 * r);
      pen.lineTo(-0.05 * r, 0.25 * r);
      pen.lineTo(-0.3 * r, r);
      pen.lineTo(0.8 * r, -0.25 * r);
      pen.lineTo(0.05 * r, -0.25 * r);
      pen.closePath();
    },
  },
  death: {
    title: "Death",
    colour: "mark",
    draw: (pen, r) => {
      const [a, b] = [r * 0.95, r * 0.35];
      for (const [x, y] of cross(a, b)) pen.lineTo(x, y);
      pen.closePath();
    },
  },
  retry: {
    title: "Retry",
    colour: "mark-quiet",
    draw: (pen, r) => {
      pen.moveTo(-0.7 * r, -0.9 * r);
      pen.lineTo(0.9 * r, 0);
      pen.lineTo(-0.7 * r, 0.9 * r);
      pen.closePath();
    },
  },
  recovery: {
    title: "Recovery",
    colour: "good",
    draw: (pen, r) => {
      pen.arc(0, 0, r * 0.85, 0, 2 * Math.PI);
      pen.closePath();
    },
  },
  checkpoint: {
    title: "Checkpoint",
    colour: "checkpoint",
    draw: (pen, r) => {
      pen.moveTo(0, -r);
      pen.lineTo(r, 0);
      pen.lineTo(0, r);
      pen.lineTo(-r, 0);
      pen.closePath();
    },
  },
  link: {
    title: "Next function of the chain",
    colour: "mark-quiet",
    draw: (pen, r) => {
      pen.rect(-0.8 * r, -0.8 * r, 1.6 * r, 1.6 * r);
    },
  },
  restart: {
    title: "Restart",
    colour: "mark-quiet",
    draw: (pen, r) => {
      pen.moveTo(0, -r);
      pen.lineTo(r, 0.8 * r);
      pen.lineTo(-r, 0.8 * r);
      pen.closePath();
    },
  },
};

/**
 * The corners of an X.
 *
 * @param {number} a Half of its width.
 * @param {number} b How wide its arms are.
 */
function cross(a, b) {
  return [
    [-a, -a + b],
    [-a + b, -a],
    [0, -b],
    [a - b, -a],
    [a, -a + b],
    [b, 0],
    [a, a - b],
    [a - b, a],
    [0, b],
    [-a + b, a],
    [-a, a - b],
    [-b, 0],
  ];
}

/**
 * Draw a mark around a point, with a halo that parts it from the bars below.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {string} kind
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 */
export function drawMark(pen, kind, x, y, radius) {
  const mark = MARKS[kind] ?? MARKS.link;
  pen.save();
  pen.translate(x, y);
  pen.beginPath();
  mark.draw(pen, radius);
  pen.lineJoin = "round";
  pen.lineWidth = 3;
  pen.strokeStyle = colour("card");
  pen.stroke();
  pen.fillStyle = colour(mark.colour);
  pen.fill();
  pen.restore();
}

/**
 * Make the small picture of a phase or a mark for a legend; `drawn` draws it again.
 *
 * @param {"phase" | "mark"} what
 * @param {string} name
 * @returns {HTMLCanvasElement}
 */
export function swatch(what, name) {
  const canvas = document.createElement("canvas");
  canvas.className = "swatch";
  canvas.setAttribute("aria-hidden", "true");
  canvas.dataset.what = what;
  canvas.dataset.name = name;
  drawSwatch(canvas);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
export function drawSwatch(canvas) {
  const { what, name = "" } = canvas.dataset;
  const scale = devicePixelRatio || 1;
  canvas.width = 14 * scale;
  canvas.height = 14 * scale;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(scale, scale);
  if (what === "mark") {
    drawMark(pen, name, 7, 7, 5.5);
    return;
  }
  pen.fillStyle = fillOf(pen, name);
  pen.fillRect(0, 0, 14, 14);
}
