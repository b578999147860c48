/** The timeline: one row per rank, what it did when, and what happened to it; with the mouse and with the keyboard. */

import { announce, el, fill } from "../shared/dom.js";
import { onTheme } from "../shared/theme.js";
import { drawSwatch, forgetFills, look, MARKS, PHASES, swatch } from "./phases.js";
import { barAt, barsOf, layOut, pan, refined, wholeSpan, within, zoom } from "./timeline-model.js";
import { looksOf, paint, placeOf, RUN_LANE } from "./timeline-paint.js";
import { describeBar, describeMark } from "./words.js";

/**
 * @import { Mark, Rank, RunView } from "../shared/types.js"
 * @import { Bar, Span } from "./timeline-model.js"
 * @import { Scene } from "./timeline-paint.js"
 * @typedef {{
 *   elements: { controls: HTMLElement[], body: HTMLElement },
 *   update: (view: RunView) => void,
 *   refine: (view: RunView, span: Span) => void,
 *   unmount: () => void,
 * }} Timeline `refine` draws finer buckets of a span, as long as that span is shown.
 */

const AXIS = 18;
const HELP =
  "Drag to zoom, then drag to pan. Ctrl and the wheel zoom, too. " +
  "Keys: arrows go from bar to bar and from rank to rank, M from mark to mark, plus and minus zoom, Shift and arrows pan, 0 shows the whole run.";

/**
 * Make the timeline of a run.
 *
 * @param {RunView} first
 * @param {{ whole?: Span, onSpan?: (span: Span | null) => void }} [options] `whole` if more than the run is to be
 *   shown; `onSpan` is called after a change of zoom, with null for the whole run.
 * @returns {Timeline}
 */
export function makeTimeline(first, options = {}) {
  const canvas = el("canvas", {
    tabIndex: 0,
    role: "application",
    "aria-label": `Timeline of run ${first.run_id}. ${HELP} A table of the ranks follows.`,
  });
  const tip = el("div", { class: "plot-tip", "aria-hidden": "true", hidden: true });
  const legend = el("ul", { class: "plot-legend" });
  const empty = el("p", { class: "empty" }, "No rank has begun.");
  const help = el("p", { class: "soft help" }, HELP);
  const body = el(
    "div",
    { class: "run-timeline" },
    legend,
    el("div", { class: "canvas" }, canvas, tip),
    empty,
    help,
  );
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

  let view = first;
  let ranks = view.ranks;
  /** @type {{ ranks: Rank[], of: Span } | null} */
  let finer = null;
  let whole = options.whole ?? wholeSpan(view);
  let span = whole;
  /** @type {Scene} */
  let scene;
  /** @type {Bar | null} */
  let focused = null;
  /** @type {Mark | null} */
  let focusedMark = null;
  /** @type {[number, number] | null} */
  let selection = null;
  let waiting = 0;

  const isWhole = () => span.to - span.from >= (whole.to - whole.from) * 0.9999;

  function draw() {
    waiting = 0;
    const width = canvas.parentElement?.clientWidth || 600;
    const top = AXIS + RUN_LANE;
    const rows = layOut(ranks, view.seconds, top);
    const height = rows.reduce((sum, row) => sum + row.height, top) + 2;
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.setProperty("height", `${height}px`);
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    scene = {
      width,
      height,
      gutter: width < 600 ? 30 : 62,
      top,
      rows,
      span,
      now: view.seconds,
      marks: view.marks,
      straggler: view.straggler?.rank ?? -1,
      focused,
      focusedMark,
      selection,
    };
    paint(pen, scene);
  }

  function redraw() {
    if (!waiting) waiting = requestAnimationFrame(draw);
  }

  /** @param {Span} next */
  function show(next) {
    span = within(next, whole);
    if (isWhole()) {
      finer = null;
      ranks = view.ranks;
    }
    for (const button of [out, all]) button.disabled = isWhole();
    canvas.classList.toggle("zoomed", !isWhole());
    redraw();
    options.onSpan?.(isWhole() ? null : span);
  }

  /** @param {number} x */
  const timeAt = x =>
    span.from + ((x - scene.gutter) / Math.max(1, scene.width - scene.gutter)) * (span.to - span.from);
  const middle = () => (focused ? (focused.start + focused.end) / 2 : (span.from + span.to) / 2);

  /**
   * @param {string[]} lines
   * @param {number} x
   * @param {number} y
   */
  function showTip(lines, x, y) {
    fill(
      tip,
      el("b", {}, lines[0]),
      lines.slice(1).map(line => el("div", {}, line)),
    );
    tip.hidden = false;
    const left = Math.min(Math.max(0, x + 14), Math.max(0, scene.width - tip.offsetWidth));
    const room = innerHeight - canvas.getBoundingClientRect().top;
    const below = y + 18 + tip.offsetHeight < room || y < tip.offsetHeight + 10;
    tip.style.setProperty("left", `${left}px`);
    tip.style.setProperty("top", `${below ? y + 18 : y - tip.offsetHeight - 10}px`);
  }

  function clearFocus() {
    focused = null;
    focusedMark = null;
    tip.hidden = true;
    redraw();
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  function hover(x, y) {
    const mark = view.marks.find(one => {
      const [markX, markY] = placeOf(scene, one);
      return Math.abs(markX - x) < 7 && Math.abs(markY - y) < 8;
    });
    const row = scene.rows.find(one => y >= one.top && y < one.top + one.height);
    const slack = ((span.to - span.from) / Math.max(1, scene.width - scene.gutter)) * 3;
    focusedMark = mark ?? null;
    focused = !mark && row && x > scene.gutter ? barAt(barsOf(row, span), timeAt(x), slack, y) : null;
    if (mark) showTip([MARKS[mark.kind]?.title ?? mark.kind, ...describeMark(mark)], x, y);
    else if (focused) showTip(describeBar(focused), x, y);
    else tip.hidden = true;
    redraw();
  }

  /** @param {Bar} bar */
  function focusBar(bar) {
    focused = bar;
    focusedMark = null;
    if (
      bar.end < span.from ||
      bar.start > span.to ||
      (isWhole() === false && (bar.start < span.from || bar.end > span.to))
    )
      show(pan(span, whole, (bar.start + bar.end) / 2 - (span.from + span.to) / 2));
    draw();
    const x = scene.gutter + ((bar.start - span.from) / (span.to - span.from)) * (scene.width - scene.gutter);
    showTip(describeBar(bar), Math.max(scene.gutter, x), bar.top + bar.height);
    announce(describeBar(bar).join(". "));
  }

  /**
   * Go to the next or previous bar of the row.
   *
   * @param {number} by
   */
  function step(by) {
    const row = scene.rows.find(one => one.rank === focused?.rank) ?? scene.rows[0];
    if (!row) return;
    const bars = barsOf(row, whole);
    const now = focused;
    const index = now
      ? bars.findIndex(bar => bar.start === now.start && bar.end === now.end && bar.kind === now.kind)
      : -1;
    const next = bars[Math.min(bars.length - 1, Math.max(0, index + by))];
    if (next) focusBar(next);
  }

  /**
   * Go to the rank above or below, at the same moment.
   *
   * @param {number} by
   */
  function change(by) {
    const index = scene.rows.findIndex(row => row.rank === focused?.rank);
    const row = scene.rows[Math.min(scene.rows.length - 1, Math.max(0, focused ? index + by : 0))];
    const bar = row && barAt(barsOf(row, whole), middle(), Number.POSITIVE_INFINITY);
    if (bar) focusBar(bar);
  }

  /** @param {number} by */
  function stepMark(by) {
    if (!view.marks.length) return;
    const index = focusedMark ? view.marks.indexOf(focusedMark) : by > 0 ? -1 : 0;
    const mark = view.marks[(index + by + view.marks.length) % view.marks.length];
    focusedMark = mark;
    focused = null;
    if (mark.at < span.from || mark.at > span.to) show(pan(span, whole, mark.at - (span.from + span.to) / 2));
    draw();
    const [x, y] = placeOf(scene, mark);
    const lines = [MARKS[mark.kind]?.title ?? mark.kind, ...describeMark(mark)];
    showTip(lines, x, y);
    announce(lines.join(". "));
  }

  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    ArrowRight: event => (event.shiftKey ? show(pan(span, whole, (span.to - span.from) / 5)) : step(1)),
    ArrowLeft: event => (event.shiftKey ? show(pan(span, whole, (span.from - span.to) / 5)) : step(-1)),
    ArrowUp: () => change(-1),
    ArrowDown: () => change(1),
    "+": () => show(zoom(span, whole, 0.5, middle())),
    "=": () => show(zoom(span, whole, 0.5, middle())),
    "-": () => show(zoom(span, whole, 2, middle())),
    0: () => show(whole),
    m: () => stepMark(1),
    M: () => stepMark(-1),
    Escape: clearFocus,
  };
  canvas.addEventListener("keydown", event => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action(event);
  });
  canvas.addEventListener("blur", clearFocus);
  canvas.addEventListener("pointerleave", clearFocus);
  canvas.addEventListener("dblclick", event => show(zoom(span, whole, 0.3, timeAt(event.offsetX))));
  canvas.addEventListener(
    "wheel",
    event => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.ctrlKey || event.metaKey)
        show(zoom(span, whole, Math.exp(event.deltaY / 300), timeAt(event.offsetX)));
      else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY) && !isWhole())
        show(pan(span, whole, (sideways / scene.width) * (span.to - span.from)));
      else return;
      event.preventDefault();
    },
    { passive: false },
  );
  dragging(canvas, {
    start: () => clearFocus(),
    move(from, to, event) {
      if (isWhole() || event.shiftKey || selection) {
        selection = [Math.max(from, scene.gutter), Math.max(to, scene.gutter)];
        redraw();
      } else {
        show(pan(span, whole, ((to - from) / (scene.width - scene.gutter)) * (span.from - span.to)));
        return to;
      }
      return from;
    },
    end() {
      const chosen = selection;
      selection = null;
      if (chosen && Math.abs(chosen[1] - chosen[0]) > 4)
        show({ from: timeAt(Math.min(...chosen)), to: timeAt(Math.max(...chosen)) });
      else redraw();
    },
    hover,
  });

  /** @type {(name: string, label: string, onclick: () => void) => HTMLButtonElement} */
  const button = (name, label, onclick) =>
    el("button", { type: "button", "aria-label": label, title: label, onclick }, name);
  const out = button("−", "Zoom out", () => show(zoom(span, whole, 2, middle())));
  const into = button("+", "Zoom in", () => show(zoom(span, whole, 0.5, middle())));
  const all = button("Whole run", "Show the whole run", () => show(whole));
  out.disabled = all.disabled = true;

  function drawLegend() {
    empty.hidden = ranks.some(rank => rank.attempts.length);
    help.hidden = !empty.hidden;
    const looks = looksOf(ranks.flatMap(rank => rank.attempts));
    const kinds = new Set(view.marks.map(mark => mark.kind));
    const names = `${[...looks].sort()} ${[...kinds].sort()}`;
    if (legend.dataset.names === names) return;
    legend.dataset.names = names;
    fill(
      legend,
      PHASES.filter(name => looks.has(name)).map(name =>
        el("li", {}, swatch("phase", name), look(name).title),
      ),
      Object.keys(MARKS)
        .filter(kind => kinds.has(/** @type {Mark["kind"]} */ (kind)))
        .map(kind => el("li", {}, swatch("mark", kind), MARKS[kind].title)),
    );
  }

  const stopTheme = onTheme(() => {
    forgetFills();
    for (const one of legend.querySelectorAll("canvas")) drawSwatch(one);
    redraw();
  });
  const observer = new ResizeObserver(redraw);
  observer.observe(body);
  drawLegend();
  // Keys and the pointer need a scene, and the first frame may come after them.
  draw();

  return {
    elements: { controls: [out, into, all], body },
    update(next) {
      const showsAll = isWhole();
      view = next;
      ranks = finer && !showsAll ? refined(next.ranks, finer.ranks, finer.of) : next.ranks;
      whole = options.whole ?? wholeSpan(next);
      span = showsAll ? whole : within(span, whole);
      drawLegend();
      redraw();
    },
    refine(next, of) {
      if (isWhole()) return;
      finer = { ranks: next.ranks, of };
      ranks = refined(view.ranks, next.ranks, of);
      redraw();
    },
    unmount() {
      stopTheme();
      observer.disconnect();
      cancelAnimationFrame(waiting);
    },
  };
}

/**
 * Follow a pointer over an element: dragged, or just over it.
 *
 * @param {HTMLElement} element
 * @param {{
 *   start: () => void,
 *   move: (from: number, to: number, event: PointerEvent) => number,
 *   end: () => void,
 *   hover: (x: number, y: number) => void,
 * }} actions `move` returns from where the next move counts.
 */
function dragging(element, actions) {
  /** @type {number | null} */
  let from = null;
  let moved = false;
  element.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    from = event.offsetX;
    moved = false;
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", event => {
    if (from === null) {
      actions.hover(event.offsetX, event.offsetY);
      return;
    }
    if (!moved && Math.abs(event.offsetX - from) < 4) return;
    if (!moved) actions.start();
    moved = true;
    from = actions.move(from, event.offsetX, event);
  });
  for (const kind of ["pointerup", "pointercancel"])
    element.addEventListener(kind, () => {
      if (from !== null && moved) actions.end();
      from = null;
    });
}
