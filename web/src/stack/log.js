/** The live log of all functions, filtered by function, rank and text. */

import { card, el, fill } from "../shared/dom.js";
import { plural } from "../shared/format.js";
import { logRow, onLines, receivedLines } from "./log-lines.js";
import { filterLines } from "./log-text.js";

/** @import { LogLine, Unmount } from "../shared/types.js" */

/** More lines than that are not in the page; they make it slow. */
const MOST_SHOWN = 1_000;

/**
 * @param {HTMLElement} place
 * @returns {Unmount}
 */
export function mountLog(place) {
  document.title = "Log – Lambda harness";
  const name = el("select", { "aria-label": "Lines of this function", onchange: () => redraw() });
  const rank = el("select", { "aria-label": "Lines of this rank", onchange: () => redraw() });
  const text = el("input", {
    type: "search",
    placeholder: "text",
    "aria-label": "Lines with this text",
    oninput: () => redraw(),
  });
  const pause = el(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => setPaused(!paused) },
    "Pause",
  );
  const rows = el("ol", { class: "lines tall", tabIndex: 0, "aria-label": "Log lines" });
  const note = el("p", { class: "empty" });
  let paused = false;
  let missed = 0;

  const filter = () => ({ function: name.value, rank: rank.value, text: text.value });

  function offerChoices() {
    fillChoices(
      name,
      "all functions",
      receivedLines().map(line => line.function),
    );
    fillChoices(
      rank,
      "all ranks",
      receivedLines().flatMap(line => (typeof line.rank === "number" ? [String(line.rank)] : [])),
    );
  }

  function redraw() {
    offerChoices();
    const found = filterLines(receivedLines(), filter()).slice(-MOST_SHOWN);
    fill(
      rows,
      found.map(line => logRow(line)),
    );
    rows.scrollTop = rows.scrollHeight;
    describe();
  }

  /** @param {LogLine[]} arrived */
  function add(arrived) {
    if (paused) {
      missed += filterLines(arrived, filter()).length;
      describe();
      return;
    }
    const atEnd = rows.scrollTop + rows.clientHeight >= rows.scrollHeight - 4;
    rows.append(
      ...filterLines(arrived, filter())
        .slice(-MOST_SHOWN)
        .map(line => logRow(line)),
    );
    while (rows.childElementCount > MOST_SHOWN) rows.firstElementChild?.remove();
    offerChoices();
    if (atEnd) rows.scrollTop = rows.scrollHeight;
    describe();
  }

  /** @param {boolean} on */
  function setPaused(on) {
    paused = on;
    missed = 0;
    pause.setAttribute("aria-pressed", String(on));
    if (on) describe();
    else redraw();
  }

  function describe() {
    pause.textContent =
      paused && missed ? `Paused, ${plural(missed, "new line")}` : paused ? "Paused" : "Pause";
    const nothing = rows.childElementCount === 0;
    rows.hidden = nothing;
    note.hidden = !nothing;
    note.textContent = receivedLines().length
      ? "No line is like that."
      : "Nothing has been printed since this page was opened. The log of a run that is over is on the run's own page.";
  }

  fill(place, el("h1", {}, "Log"), card("Lines", { controls: [name, rank, text, pause] }, rows, note));
  redraw();
  return onLines(add);
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} all What stands for all of them.
 * @param {string[]} values
 */
function fillChoices(select, all, values) {
  const chosen = select.value;
  const choices = [
    "",
    ...[...new Set(values)].sort((one, other) => one.localeCompare(other, "en", { numeric: true })),
  ];
  if ([...select.options].map(option => option.value).join() === choices.join()) return;
  select.replaceChildren(...choices.map(value => el("option", { value }, value || all)));
  select.value = choices.includes(chosen) ? chosen : "";
}
