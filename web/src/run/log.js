/** The log of one run, filtered by rank and by text. */

import { getRunLog, isReport, subscribe } from "../shared/data.js";
import { append, card, el, fill } from "../shared/dom.js";
import { count, moment, plural } from "../shared/format.js";
import { matches, readable, unseen } from "./log-model.js";

/**
 * @import { LogLine, RunView } from "../shared/types.js"
 * @import { Card } from "./cards.js"
 */

/** More lines than this make a page slow, and nobody reads them. */
const MOST = 1000;
const DEBOUNCE_MS = 200;

/**
 * @param {RunView} first
 * @returns {Card}
 */
export function logCard(first) {
  let view = first;
  /** @type {LogLine[]} */
  let lines = [];
  let known = 0;
  /** @type {LogLine[]} Those that the list does not show yet. */
  let fresh = [];
  /** @type {LogLine[]} What the stream has brought since the server was asked. */
  let arrived = [];
  let printed = false;
  let timer = 0;
  let asked = 0;
  const rank = el("select", { "aria-label": "Lines of", onchange: () => void load() });
  const text = el("input", {
    type: "search",
    placeholder: "Text",
    "aria-label": "Lines that contain",
    oninput: later,
  });
  const raw = el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick() {
        printed = !printed;
        raw.setAttribute("aria-pressed", String(printed));
        draw();
      },
    },
    "As printed",
  );
  const status = el("span", { class: "soft", role: "status" });
  const list = el("ol", { class: "run-log", tabIndex: 0, "aria-label": "Log lines" });
  const element = card("Log", { controls: [status, rank, text, raw] }, list);

  const filter = () => ({ rank: rank.value, text: text.value.trim() });

  function later() {
    clearTimeout(timer);
    timer = setTimeout(() => void load(), DEBOUNCE_MS);
  }

  async function load() {
    const number = ++asked;
    arrived = [];
    try {
      const found = await getRunLog(view.run_id, filter());
      if (number !== asked) return;
      lines = [...found, ...unseen(arrived, found)].filter(line => matches(line, filter()));
      known = lines.length;
      draw();
    } catch (error) {
      if (number === asked) status.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  const isAtEnd = () => list.scrollTop + list.clientHeight >= list.scrollHeight - 20;

  function draw() {
    const atEnd = isAtEnd();
    fill(list);
    show(lines, atEnd);
  }

  /**
   * Show more lines. Those that are there stay as they are: a run may print hundreds a second.
   *
   * @param {LogLine[]} more
   * @param {boolean} atEnd Whether the reader follows the newest.
   */
  function show(more, atEnd) {
    fresh = [];
    append(list, more.slice(-MOST).map(item));
    while (list.childElementCount > MOST) list.firstElementChild?.remove();
    if (atEnd && !isReport && view.status === "running") list.scrollTop = list.scrollHeight;
    status.textContent =
      known > MOST ? `The last ${count(MOST)} of ${count(known)} lines` : plural(known, "line");
  }

  /** @param {LogLine} line */
  function item(line) {
    const { event, rest } = printed ? { event: "", rest: line.text } : readable(line.text);
    return el(
      "li",
      {},
      el("span", { class: "at" }, moment(line.at - view.started_at)),
      el("span", { class: "who" }, line.rank === null ? "coordinator" : `rank ${line.rank}`),
      el("span", { class: "text" }, event && el("b", {}, event, " "), rest),
    );
  }

  function fillRanks() {
    const wanted = ["", "coordinator", ...view.ranks.map(one => String(one.rank))];
    if (rank.options.length === wanted.length) return;
    const chosen = rank.value;
    fill(
      rank,
      wanted.map(value =>
        el(
          "option",
          { value },
          value === "" ? "All" : value === "coordinator" ? "Coordinator" : `Rank ${value}`,
        ),
      ),
    );
    rank.value = wanted.includes(chosen) ? chosen : "";
  }

  fillRanks();
  void load();
  const stop = subscribe("log", added => {
    const own = added.filter(line => line.run_id === view.run_id);
    arrived = [...arrived, ...own].slice(-MOST);
    const more = unseen(own, lines).filter(line => matches(line, filter()));
    known += more.length;
    lines = [...lines, ...more].slice(-MOST);
    fresh = [...fresh, ...more].slice(-MOST);
    // A run that is over is not drawn again.
    if (view.status !== "running" && fresh.length) show(fresh, isAtEnd());
  });
  return {
    element,
    update(next) {
      view = next;
      fillRanks();
      if (fresh.length) show(fresh, isAtEnd());
    },
    unmount() {
      stop();
      clearTimeout(timer);
    },
  };
}
