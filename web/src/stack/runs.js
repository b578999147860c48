/** The list of runs: sorted, filtered, and two of them compared. */

import { announce, card, el } from "../shared/dom.js";
import { count, dateAndTime, figure, plain, plural, seconds } from "../shared/format.js";
import { compareAddress, runAddress } from "../shared/router.js";
import { liveTable } from "./live-table.js";
import { chooseRuns } from "./runs-order.js";

/**
 * @import { RunLine } from "../shared/types.js"
 * @import { RunKey } from "./runs-order.js"
 */

/** More rows make a page slow, and nobody reads them. */
const MOST_SHOWN = 300;
/** @type {Record<string, string>} */
const TONES = {
  running: "busy",
  succeeded: "good",
  failed: "bad",
  damaged: "bad",
  stopped: "warn",
  unfinished: "warn",
};
/** These keys are sorted from large to small at first: the newest, the longest. */
const DOWN_FIRST = new Set(["started_at", "seconds", "n_workers"]);

/** @param {RunLine} run */
const name = run => run.run_id;

export function runsCard() {
  /** @type {RunLine[]} */
  let runs = [];
  /** @type {{ key: RunKey, down: boolean }} */
  let order = { key: "started_at", down: true };
  /** @type {string[]} The runs to compare, in the order in which they were chosen. */
  let chosen = [];

  const text = el("input", {
    type: "search",
    placeholder: "lr=0.1 higgs",
    "aria-label": "Runs with these words in their id, model, dataset or what differs",
    oninput: () => draw(),
  });
  const status = el("select", { "aria-label": "Runs of this status", onchange: () => draw() });
  const compare = el("a", { class: "button", role: "link" }, "Compare two");
  const note = el("p", { class: "soft", role: "status" });

  /** @param {string} id @param {boolean} on */
  const choose = (id, on) => {
    chosen = on ? [...chosen.filter(one => one !== id), id].slice(-2) : chosen.filter(one => one !== id);
    if (on && chosen.length === 2) announce(`${chosen.join(" and ")} can be compared.`);
    draw();
  };
  const list = liveTable("List of runs", columns(choose), {
    key: name,
    row: run => ({ "aria-selected": String(chosen.includes(name(run))) }),
    onSort: key => {
      const down = order.key === key ? !order.down : DOWN_FIRST.has(key);
      order = { key: /** @type {RunKey} */ (key), down };
      draw();
    },
  });

  function draw() {
    const found = chooseRuns(runs, { text: text.value, status: status.value }, order);
    list.update(found.slice(0, MOST_SHOWN), order);
    for (const box of list.element.querySelectorAll("input")) box.checked = chosen.includes(box.value);
    list.element.hidden = found.length === 0;
    note.textContent = noteOn(runs.length, found.length);
    drawCompare();
  }

  function drawCompare() {
    const ready = chosen.length === 2;
    if (ready) compare.href = compareAddress(chosen[0], chosen[1]);
    else compare.removeAttribute("href");
    compare.setAttribute("aria-disabled", String(!ready));
    compare.title = ready ? chosen.join(" and ") : "Choose two runs by the boxes before them.";
  }

  return {
    element: card("Runs", { controls: [text, status, compare] }, list.element, note),
    /** @param {RunLine[]} next */
    update(next) {
      runs = next;
      chosen = chosen.filter(id => runs.some(run => name(run) === id));
      fillStatuses(status, runs);
      draw();
    },
  };
}

/** @param {number} all @param {number} found */
function noteOn(all, found) {
  if (all === 0)
    return "This project has no runs yet. harness run makes one; it is kept when its stack goes down.";
  if (found === 0) return `None of the ${plural(all, "run")} is like that.`;
  if (found > MOST_SHOWN) return `The first ${MOST_SHOWN} of ${plural(found, "run")}; filter to see others.`;
  return found < all ? `${found} of ${plural(all, "run")}.` : "";
}

/** @param {HTMLSelectElement} select @param {RunLine[]} runs */
function fillStatuses(select, runs) {
  const statuses = ["", ...new Set(runs.map(run => run.status))].sort();
  if ([...select.options].map(option => option.value).join() === statuses.join()) return;
  const { value } = select;
  select.replaceChildren(...statuses.map(one => el("option", { value: one }, one || "all statuses")));
  select.value = statuses.includes(value) ? value : "";
}

/**
 * @param {(id: string, on: boolean) => void} choose
 * @returns {import("./live-table.js").LiveColumn<RunLine>[]}
 */
function columns(choose) {
  return [
    {
      title: "Compare",
      unseen: true,
      cell: run =>
        el("input", {
          type: "checkbox",
          value: name(run),
          "aria-label": `Compare ${name(run)}`,
          onchange: (/** @type {Event} */ event) => {
            const box = /** @type {HTMLInputElement} */ (event.target);
            choose(box.value, box.checked);
          },
        }),
    },
    {
      title: "Run",
      sort: "run_id",
      cell: run => el("a", { href: runAddress(name(run)), class: "name" }, name(run)),
    },
    {
      title: "Status",
      sort: "status",
      cell: run => el("span", { class: `badge ${TONES[run.status] ?? ""}` }, run.status),
    },
    { title: "Loss", sort: "loss", number: true, cell: run => figure(run.loss) },
    { title: "What differs", cell: run => differences(run), class: "differs" },
    { title: "Model", sort: "model", cell: run => run.model, class: "wide" },
    { title: "Dataset", sort: "dataset", cell: run => run.dataset, class: "wide" },
    { title: "Workers", sort: "n_workers", number: true, cell: run => count(run.n_workers), class: "wide" },
    { title: "Took", sort: "seconds", number: true, cell: run => seconds(run.seconds) },
    { title: "Started", sort: "started_at", number: true, cell: run => dateAndTime(run.started_at) },
  ];
}

/** @param {RunLine} run */
function differences(run) {
  const entries = Object.entries(run.differs);
  if (entries.length === 0) return el("span", { class: "soft" }, "as most");
  return entries.map(([key, value]) => el("span", { class: "pair" }, `${key} `, el("b", {}, plain(value))));
}
