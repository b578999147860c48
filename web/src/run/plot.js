/** Plots by uPlot, in the page's colours, as wide as their place, and with a tip at the pointer. */

import uPlot from "uplot";
import { el, fill } from "../shared/dom.js";
import { colour, onTheme } from "../shared/theme.js";

/**
 * @import { AlignedData, Options, Series } from "uplot"
 * @typedef {{
 *   title: string,
 *   colour: string,
 *   dash?: number[],
 *   width?: number,
 *   points?: boolean,
 *   alpha?: number,
 *   paths?: Series.PathBuilder,
 *   filled?: boolean,
 * }} Line
 * @typedef {{
 *   label: string,
 *   height: number,
 *   lines: Line[],
 *   data: AlignedData,
 *   x: { label: string, format: (value: number) => string, whole?: boolean },
 *   y: { format: (value: number) => string, log?: boolean, zero?: boolean },
 *   range?: [number, number],
 *   tip?: (index: number, line: number | null, data: AlignedData) => string[],
 *   focus?: boolean,
 *   marks?: () => { x: number, colour: string, dash: number[] }[],
 * }} PlotOptions `label` is read by screen readers; `focus` finds the line that is nearest to the pointer.
 * @typedef {{ element: HTMLElement, update: (change: Partial<PlotOptions>) => void, unmount: () => void }} Plot
 */

const FONT = "11px system-ui, sans-serif";

/**
 * Make a plot; `update` changes its data, and what else is given.
 *
 * @param {PlotOptions} first
 * @returns {Plot}
 */
export function makePlot(first) {
  let options = first;
  const place = el("div", { class: "plot", role: "img", "aria-label": first.label });
  const tip = el("div", { class: "plot-tip", "aria-hidden": "true", hidden: true });
  /** @type {uPlot | null} */
  let chart = null;
  let nearest = /** @type {number | null} */ (null);

  /** @param {uPlot} self */
  function showTip(self) {
    const { idx, left, top } = self.cursor;
    if (idx === null || idx === undefined || left === undefined || top === undefined || left < 0) {
      tip.hidden = true;
      return;
    }
    const lines = options.tip ? options.tip(idx, nearest, options.data) : tipOf(options, idx);
    tip.hidden = lines.length === 0;
    fill(
      tip,
      el("b", {}, lines[0] ?? ""),
      lines.slice(1).map(line => el("div", {}, line)),
    );
    const width = place.clientWidth;
    const x = left + self.bbox.left / devicePixelRatio;
    tip.style.setProperty(
      "left",
      `${Math.max(0, x + 12 + tip.offsetWidth > width ? x - tip.offsetWidth - 12 : x + 12)}px`,
    );
    tip.style.setProperty("top", `${Math.max(0, Math.min(top, options.height - tip.offsetHeight - 20))}px`);
  }

  function build() {
    chart?.destroy();
    const width = place.clientWidth;
    if (!width) return;
    chart = new uPlot(
      settings(
        () => options,
        width,
        showTip,
        series => (nearest = series),
      ),
      options.data,
      place,
    );
    place.append(tip);
  }

  const stopTheme = onTheme(build);
  const observer = new ResizeObserver(() => {
    if (!chart) build();
    else if (place.clientWidth && place.clientWidth !== chart.width)
      chart.setSize({ width: place.clientWidth, height: options.height });
  });
  observer.observe(place);
  return {
    element: place,
    update(change) {
      const anew = change.lines !== undefined || (change.y !== undefined && change.y.log !== options.y.log);
      options = { ...options, ...change };
      place.setAttribute("aria-label", options.label);
      if (chart && !anew) chart.setData(options.data);
      else build();
    },
    unmount() {
      stopTheme();
      observer.disconnect();
      chart?.destroy();
    },
  };
}

/**
 * @param {PlotOptions} options
 * @param {number} index
 */
function tipOf({ lines, data, x, y }, index) {
  const rows = lines.map((line, at) => {
    const value = data[at + 1][index];
    return value === null || value === undefined ? "" : `${line.title}: ${y.format(value)}`;
  });
  return [`${x.label} ${x.format(data[0][index])}`, ...rows.filter(Boolean)];
}

/**
 * A label of an axis needs no zeros behind the point.
 *
 * @param {string} text
 */
const clipped = text => text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");

/**
 * @param {() => PlotOptions} current
 * @param {number} width
 * @param {(self: uPlot) => void} showTip
 * @param {(series: number | null) => void} setNearest
 * @returns {Options}
 */
function settings(current, width, showTip, setNearest) {
  const options = current();
  const { x, y } = options;
  const grid = { stroke: colour("line"), width: 1 };
  const axis = { stroke: colour("soft"), font: FONT, grid, ticks: { show: false } };
  return {
    width,
    height: options.height,
    legend: { show: false },
    padding: [8, 10, 0, 0],
    scales: {
      x: { time: false, range: (_self, low, high) => current().range ?? spread(low, high) },
      y: {
        distr: y.log ? 3 : 1,
        range: (_self, low, high) => verticalRange(low, high, y),
      },
    },
    axes: [
      {
        ...axis,
        size: 22,
        gap: 4,
        label: x.label,
        labelFont: FONT,
        labelSize: 14,
        labelGap: 0,
        ...(x.whole
          ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000] }
          : {}),
        values: (_self, values) => values.map(value => clipped(x.format(value))),
      },
      {
        ...axis,
        size: 58,
        gap: 4,
        values: (_self, values) => values.map(value => (value === null ? "" : clipped(y.format(value)))),
      },
    ],
    cursor: {
      y: false,
      points: { size: 7 },
      drag: { x: false, y: false, setScale: false },
      ...(options.focus ? { focus: { prox: 30 } } : {}),
    },
    focus: { alpha: 0.15 },
    series: [{}, ...options.lines.map(line => seriesOf(line))],
    hooks: {
      setCursor: [showTip],
      setSeries: [(_self, series) => setNearest(series)],
      draw: [self => drawMarks(self, current().marks?.() ?? [])],
    },
  };
}

/**
 * @param {Line} line
 * @returns {Series}
 */
function seriesOf(line) {
  return {
    label: line.title,
    stroke: colour(line.colour),
    width: line.width ?? 2,
    alpha: line.alpha ?? 1,
    spanGaps: false,
    points: line.points ? { show: true, size: 5, fill: colour(line.colour) } : { show: false },
    ...(line.dash ? { dash: line.dash } : {}),
    ...(line.paths ? { paths: line.paths } : {}),
    ...(line.filled ? { fill: colour(line.colour) } : {}),
  };
}

/**
 * A range that is none, as of one epoch, is widened.
 *
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]}
 */
function spread(low, high) {
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

/**
 * @param {number} low
 * @param {number} high
 * @param {{ log?: boolean, zero?: boolean }} y
 * @returns {[number, number]}
 */
function verticalRange(low, high, y) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high))
    return y.log ? [0.1, 1] : [0, 1];
  if (y.log) return high > low ? [low / 1.05, high * 1.05] : [low / 2, high * 2];
  if (y.zero) return [0, high > 0 ? high * 1.06 : 1];
  const margin = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  return [low - margin, high + margin];
}

/**
 * @param {uPlot} self
 * @param {{ x: number, colour: string, dash: number[] }[]} marks
 */
function drawMarks(self, marks) {
  const { ctx, bbox } = self;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const mark of marks) {
    const x = self.valToPos(mark.x, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = colour(mark.colour);
    ctx.setLineDash(mark.dash.map(one => one * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/**
 * The legend of a plot's lines.
 *
 * @param {Line[]} lines
 */
export function plotLegend(lines) {
  return el(
    "ul",
    { class: "plot-legend" },
    lines.map(line =>
      el(
        "li",
        {},
        el("i", { class: `stroke ${line.dash ? "dashed" : ""}`, style: { color: `var(--${line.colour})` } }),
        line.title,
      ),
    ),
  );
}
