/** The list of invocations, the newest first: what the timeline shows, in words. */

import { card, el } from "../shared/dom.js";
import { megabytes, milliseconds, NONE, plural } from "../shared/format.js";
import { filterInvocations, numberInStack, STATE_NAMES } from "./invocations-store.js";
import { clock } from "./lanes.js";
import { liveTable } from "./live-table.js";

/** @import { Invocation } from "../shared/types.js" */

const ROWS = 100;
/** @type {Record<Invocation["state"], string>} */
export const TONES = {
  queued: "",
  running: "busy",
  waiting: "warn",
  throttled: "warn",
  succeeded: "good",
  failed: "bad",
  given_up: "bad",
  dropped: "bad",
};

/** @param {(number: number) => void} onSelect */
export function invocationList(onSelect) {
  /** @type {Invocation[]} */
  let invocations = [];
  /** @type {number|null} */
  let selected = null;
  let most = ROWS;

  const changed = () => {
    most = ROWS;
    draw();
  };
  const name = el("select", { "aria-label": "Invocations of this function", onchange: changed });
  const state = el(
    "select",
    { "aria-label": "Invocations in this state", onchange: changed },
    el("option", { value: "" }, "all states"),
    el("option", { value: "unwell" }, "whatever went wrong"),
    Object.entries(STATE_NAMES).map(([value, text]) => el("option", { value }, text)),
  );
  const text = el("input", {
    type: "search",
    placeholder: "request id, error",
    "aria-label": "Invocations with this text in their request id, environment or error",
    oninput: changed,
  });
  const note = el("p", { class: "soft", role: "status" });
  const more = el("button", { type: "button", onclick: () => showMore() }, "Show more");
  const list = liveTable("Invocations", columns(onSelect), {
    key: one => String(one.number),
    row: one => ({ "aria-selected": String(one.number === selected) }),
  });

  function showMore() {
    most += ROWS;
    draw();
  }

  function draw() {
    fillFunctions(name, invocations);
    const found = filterInvocations(invocations, {
      function: name.value,
      state: state.value,
      text: text.value,
    });
    list.update(found.slice(0, most));
    list.element.hidden = found.length === 0;
    more.hidden = found.length <= most;
    note.textContent = noteOn(invocations.length, found.length);
  }

  return {
    element: card("List", { controls: [name, state, text] }, list.element, note, more),
    /** @param {Invocation[]} next The oldest first. */
    update(next) {
      invocations = next;
      draw();
    },
    /** @param {number|null} number */
    select(number) {
      selected = number;
      draw();
    },
  };
}

/** @param {number} all @param {number} found */
function noteOn(all, found) {
  if (all === 0) return "Nothing has been invoked yet.";
  if (found === 0) return `None of the ${plural(all, "invocation")} is like that.`;
  return found < all ? `${found} of ${plural(all, "invocation")}.` : "";
}

/** @param {HTMLSelectElement} select @param {Invocation[]} invocations */
function fillFunctions(select, invocations) {
  const names = ["", ...[...new Set(invocations.map(one => one.function))].sort()];
  if ([...select.options].map(option => option.value).join() === names.join()) return;
  const { value } = select;
  select.replaceChildren(...names.map(one => el("option", { value: one }, one || "all functions")));
  select.value = names.includes(value) ? value : "";
}

/**
 * @param {(number: number) => void} onSelect
 * @returns {import("./live-table.js").LiveColumn<Invocation>[]}
 */
function columns(onSelect) {
  return [
    {
      title: "No.",
      number: true,
      cell: one =>
        el(
          "button",
          {
            type: "button",
            class: "link",
            onclick: () => onSelect(one.number),
            "aria-label": `Show invocation ${numberInStack(one.number)}`,
          },
          numberInStack(one.number),
        ),
    },
    { title: "Function", cell: one => el("span", { class: "name" }, one.function) },
    {
      title: "State",
      class: "state",
      cell: one => [
        el("span", { class: `badge ${TONES[one.state]}` }, STATE_NAMES[one.state]),
        one.attempt > 1 && el("span", { class: "soft" }, ` attempt ${one.attempt}`),
      ],
    },
    { title: "Accepted", number: true, cell: one => clock(one.queued_at, 3) },
    {
      title: "Took",
      number: true,
      cell: one => (one.ended_at === null || one.started_at === null ? NONE : milliseconds(one.duration_ms)),
    },
    { title: "Start", number: true, cell: one => (one.cold ? milliseconds(one.init_ms) : ""), class: "wide" },
    {
      title: "Memory",
      number: true,
      cell: one => (one.used_mb ? megabytes(one.used_mb) : NONE),
      class: "wide",
    },
    { title: "Error", cell: one => el("span", { class: "error", title: one.error_message }, one.error) },
  ];
}
