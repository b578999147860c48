/** The invocations of the stack's functions: a live timeline, a list, and one of them whole. */

import { getInvocations, subscribe } from "../shared/data.js";
import { card, el, fill } from "../shared/dom.js";
import { invocationAddress } from "../shared/router.js";
import { detailPanel } from "./detail.js";
import { invocationList } from "./invocation-list.js";
import { InvocationStore } from "./invocations-store.js";
import { timeline } from "./timeline.js";

/**
 * @import { State, Unmount } from "../shared/types.js"
 * @param {HTMLElement} place
 * @param {number | null} number The invocation that is shown whole.
 * @returns {Unmount}
 */
export function mountInvocations(place, number) {
  document.title = "Invocations – Lambda harness";
  const store = new InvocationStore();
  /** @type {number|null} */
  let stackStarted = null;
  const note = el("p", { class: "notice", hidden: true, role: "status" });
  const lanes = timeline(select);
  const list = invocationList(select);
  const detail = detailPanel({ onClose: () => select(null) });
  const columns = el("div", { class: "grid invocations" }, list.element, detail.element);
  fill(
    place,
    el("h1", {}, "Invocations"),
    note,
    card("Timeline", { controls: lanes.controls }, legend(), lanes.element),
    columns,
  );

  /** @param {number|null} chosen */
  function select(chosen) {
    // The address changes without a new view, which would forget zoom and filter.
    history.replaceState(null, "", chosen === null ? "#/invocations" : invocationAddress(chosen));
    lanes.select(chosen);
    list.select(chosen);
    detail.show(chosen);
    columns.classList.toggle("with-detail", chosen !== null);
  }

  function draw() {
    const all = store.all();
    lanes.update(all);
    list.update(all);
  }

  async function ask() {
    try {
      store.reset(await getInvocations());
      note.hidden = true;
    } catch (error) {
      note.textContent = error instanceof Error ? error.message : String(error);
      note.hidden = false;
    }
    draw();
    detail.refresh();
  }

  /** @param {State} state */
  function look({ stack }) {
    const started = stack?.up ? stack.started_at : null;
    // Another stack counts its invocations from 1 again.
    if (started !== null && started !== stackStarted && stackStarted !== null) ask();
    stackStarted = started ?? stackStarted;
    note.hidden = started !== null;
    note.textContent = store.all().length
      ? "The stack is down. These are its last invocations; this page goes on when a stack is up again."
      : "No stack is up. `harness up` starts one; its invocations are shown here.";
  }

  const stops = [
    subscribe("state", look),
    subscribe("connection", connection => connection === "live" && ask()),
    subscribe("invocations", records => {
      store.merge(records);
      draw();
      detail.refresh(records);
    }),
  ];
  ask().then(() => number !== null && select(number));
  return () => {
    for (const stop of stops) stop();
    lanes.stop();
    detail.stop();
  };
}

/** What bars and lines mean. */
function legend() {
  const entries = [
    ["wait", "queued"],
    ["wait throttled", "throttled"],
    ["wait retry", "waits for retry"],
    ["bar cold", "cold start"],
    ["bar running", "running"],
    ["bar succeeded", "succeeded"],
    ["bar failed", "failed ✕"],
    ["refused", "refused"],
  ];
  return el(
    "ul",
    { class: "lane-legend", "aria-label": "Legend" },
    entries.map(([kind, text]) =>
      el("li", {}, el("i", { class: `key ${kind}`, "aria-hidden": "true" }), text),
    ),
  );
}
