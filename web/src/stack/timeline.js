/** The timeline of invocations: a canvas that follows the clock, or stands still where its reader has moved it. */

import { announce, el } from "../shared/dom.js";
import { seconds } from "../shared/format.js";
import { onTheme } from "../shared/theme.js";
import { numberInStack, STATE_NAMES } from "./invocations-store.js";
import { layOut } from "./lanes.js";
import { drawTimeline, findBar } from "./timeline-drawing.js";

/**
 * @import { Invocation } from "../shared/types.js"
 * @import { Lane } from "./lanes.js"
 * @import { Scene } from "./timeline-drawing.js"
 */

const SPAN_AT_FIRST_S = 60;
const SHORTEST_S = 0.02;
const LONGEST_S = 7 * 86_400;
/** How much of the window is free behind the present. */
const AHEAD = 0.02;
/** A live timeline is drawn as often as that; a smoother one costs a core. */
const EVERY_MS = 100;

const now = () => Date.now() / 1000;

/**
 * @param {(number: number) => void} onSelect Called with the attempt that the reader chooses.
 */
export function timeline(onSelect) {
  /** @type {Invocation[]} */
  let invocations = [];
  /** @type {Lane[]} */
  let lanes = [];
  let span = SPAN_AT_FIRST_S;
  /** @type {number|null} Where the window ends; null as long as it follows the clock. */
  let end = null;
  /** @type {number|null} */
  let selected = null;
  /** @type {number|null} */
  let hovered = null;
  let [dirty, laidOut] = [true, false];
  let [drawnAt, restUntil] = [0, 0];

  const canvas = el("canvas", {
    tabIndex: 0,
    role: "img",
    "aria-label": "Timeline of invocations",
    "aria-describedby": "timeline-keys",
  });
  const scroller = el("div", { class: "lanes" }, canvas);
  const tip = el("div", { class: "lane-tip", hidden: true });
  const empty = el("p", { class: "empty" });
  const element = el(
    "div",
    { class: "lanes-frame" },
    scroller,
    tip,
    empty,
    el(
      "p",
      { id: "timeline-keys", class: "unseen" },
      "Left and right move it, plus and minus zoom, 0 shows all, F follows the clock, up and down choose an invocation. The list below has the same invocations.",
    ),
  );

  /** @returns {Scene} */
  function scene() {
    const to = end ?? now() + span * AHEAD;
    return { lanes, from: to - span, to, now: now(), width: scroller.clientWidth, selected, hovered };
  }

  function draw() {
    if (!element.isConnected) return;
    const began = performance.now();
    const { from, to } = scene();
    lanes = layOut(invocations, from, to, now());
    canvas.hidden = lanes.length === 0;
    empty.textContent = lanes.length ? "" : emptyText();
    if (lanes.length) drawTimeline(canvas, scene());
    label(from, to);
    [dirty, laidOut, drawnAt] = [false, true, now()];
    // However many bars there are: drawing takes a fifth of the time at most.
    restUntil = performance.now() + 4 * (performance.now() - began);
  }

  /** @param {number} from @param {number} to */
  function label(from, to) {
    const shown = lanes.reduce((sum, lane) => sum + lane.bars.length, 0);
    const text = `Timeline of ${shown} invocations in ${seconds(to - from)}`;
    if (canvas.getAttribute("aria-label") !== text) canvas.setAttribute("aria-label", text);
  }

  function emptyText() {
    return invocations.length
      ? "Nothing was invoked in this window. All shows every invocation."
      : "Nothing has been invoked yet.";
  }

  const timer = setInterval(() => {
    if (document.hidden || performance.now() < restUntil) return;
    // As long as it has moved by less than a pixel, it looks the same.
    const moving = end === null && lanes.length > 0 && now() - drawnAt > span / scroller.clientWidth;
    if (dirty || moving) draw();
  }, EVERY_MS);
  const observer = new ResizeObserver(draw);
  observer.observe(scroller);
  const stopTheme = onTheme(draw);

  /** @type {Set<() => void>} */
  const watchers = new Set();
  function moved() {
    draw();
    for (const watcher of watchers) watcher();
  }

  /** @param {number} factor @param {number} [at] The moment that stays in place; while it follows, the present does. */
  function zoom(factor, at) {
    const { from, to } = scene();
    const wanted = Math.min(LONGEST_S, Math.max(SHORTEST_S, span * factor));
    const fixed = at ?? (from + to) / 2;
    if (end !== null) end = fixed + (to - fixed) * (wanted / span);
    span = wanted;
    moved();
  }

  /** @param {number} by A share of the window. */
  function pan(by) {
    const to = scene().to + by * span;
    end = to > now() + span / 2 ? null : to;
    moved();
  }

  function showAll() {
    if (invocations.length === 0) return;
    const first = Math.min(...invocations.map(one => one.queued_at));
    const open = invocations.some(one => one.ended_at === null);
    const last = Math.max(...invocations.map(one => one.ended_at ?? now()));
    span = Math.min(LONGEST_S, Math.max(SHORTEST_S, ((open ? now() : last) - first) * 1.04));
    end = open ? null : last + span * AHEAD;
    moved();
  }

  /** @param {boolean} on */
  function followClock(on) {
    end = on ? null : scene().to;
    moved();
  }

  /** @param {-1|1} step */
  function step(step) {
    const shown = lanes.flatMap(lane => lane.bars.map(bar => bar.number)).sort((one, other) => one - other);
    if (shown.length === 0) return;
    const index = selected === null ? -1 : shown.indexOf(selected);
    const next = index < 0 ? shown.at(-1) : shown[Math.min(shown.length - 1, Math.max(0, index + step))];
    if (next === undefined) return;
    onSelect(next);
    const one = invocations.find(other => other.number === next);
    if (one) announce(`${one.function}, number ${numberInStack(next)}, ${STATE_NAMES[one.state]}`);
  }

  listen(canvas, {
    scene,
    zoom,
    pan,
    showAll,
    followClock,
    step,
    hover,
    choose: onSelect,
    isFollowing: () => end === null,
  });

  /** @param {number|null} number @param {number} x @param {number} y */
  function hover(number, x, y) {
    if (number !== hovered) {
      hovered = number;
      draw();
    }
    const one = number === null ? undefined : invocations.find(other => other.number === number);
    tip.hidden = !one;
    if (!one) return;
    tip.textContent = describe(one);
    tip.style.left = `${Math.min(x + 12, Math.max(0, element.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${y + 16}px`;
  }

  return {
    element,
    controls: controls({ zoom, showAll, followClock, isFollowing: () => end === null, watchers }),
    /** @param {Invocation[]} next The oldest first. */
    update(next) {
      invocations = next;
      dirty = true;
      if (!laidOut) draw();
    },
    /** @param {number|null} number */
    select(number) {
      selected = number;
      draw();
    },
    stop() {
      clearInterval(timer);
      observer.disconnect();
      stopTheme();
    },
  };
}

/** @param {Invocation} one */
function describe(one) {
  const waited = (one.started_at ?? one.ended_at ?? now()) - one.queued_at;
  const ran = one.started_at === null ? null : (one.ended_at ?? now()) - one.started_at;
  return [
    `${one.function} #${numberInStack(one.number)}${one.attempt > 1 ? `, attempt ${one.attempt}` : ""}`,
    `${STATE_NAMES[one.state]}${one.error ? `: ${one.error}` : ""}`,
    waited > 0.001 ? `waited ${seconds(waited)}` : "",
    ran === null ? "" : `ran ${seconds(ran)}${one.cold ? ", cold start" : ""}`,
  ]
    .filter(Boolean)
    .join("\n");
}

/**
 * @typedef {object} Moves
 * @property {(factor: number, at?: number) => void} zoom
 * @property {() => void} showAll
 * @property {(on: boolean) => void} followClock
 * @property {() => boolean} isFollowing
 */

/** @param {Moves & { watchers: Set<() => void> }} moves */
function controls({ zoom, showAll, followClock, isFollowing, watchers }) {
  const follow = el("button", { type: "button", onclick: () => followClock(!isFollowing()) }, "Follow");
  const update = () => follow.setAttribute("aria-pressed", String(isFollowing()));
  watchers.add(update);
  update();
  return [
    el("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(0.5) }, "+"),
    el("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(2) }, "−"),
    el("button", { type: "button", onclick: showAll }, "All"),
    follow,
  ];
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Moves & {
 *   scene: () => Scene,
 *   pan: (by: number) => void,
 *   step: (step: -1|1) => void,
 *   hover: (number: number|null, x: number, y: number) => void,
 *   choose: (number: number) => void,
 * }} moves
 */
function listen(canvas, moves) {
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowLeft: () => moves.pan(-0.2),
    ArrowRight: () => moves.pan(0.2),
    ArrowUp: () => moves.step(-1),
    ArrowDown: () => moves.step(1),
    "+": () => moves.zoom(0.5),
    "=": () => moves.zoom(0.5),
    "-": () => moves.zoom(2),
    0: moves.showAll,
    f: () => moves.followClock(!moves.isFollowing()),
  };
  canvas.addEventListener("keydown", event => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  /** @type {{ x: number, moved: boolean }|null} */
  let drag = null;
  /** @param {PointerEvent} event */
  const barAt = event => findBar(moves.scene(), event.offsetX, event.offsetY);
  canvas.addEventListener("pointerdown", event => {
    drag = { x: event.offsetX, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    if (drag && Math.abs(event.offsetX - drag.x) > 3) {
      moves.pan((drag.x - event.offsetX) / Math.max(1, canvas.clientWidth));
      drag = { x: event.offsetX, moved: true };
    }
    moves.hover(
      drag?.moved ? null : barAt(event),
      event.offsetX,
      event.offsetY - (canvas.parentElement?.scrollTop ?? 0),
    );
  });
  canvas.addEventListener("pointerup", event => {
    const number = drag && !drag.moved ? barAt(event) : null;
    drag = null;
    if (number !== null) moves.choose(number);
  });
  canvas.addEventListener("pointerleave", () => moves.hover(null, 0, 0));
  canvas.addEventListener(
    "wheel",
    event => {
      // A bare wheel scrolls the page.
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      const { from, to } = moves.scene();
      if (event.shiftKey) moves.pan((event.deltaY || event.deltaX) / 1000);
      else
        moves.zoom(
          1.002 ** event.deltaY,
          from + ((to - from) * event.offsetX) / Math.max(1, canvas.clientWidth),
        );
    },
    { passive: false },
  );
}
