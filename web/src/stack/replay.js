/** Invoke a function, again or for the first time: an editor for the payload, and the answer. */

import { getInvocations, getState, invoke } from "../shared/data.js";
import { el, fill } from "../shared/dom.js";
import { seconds } from "../shared/format.js";
import { invocationAddress } from "../shared/router.js";
import { pretty, whatIsWrong } from "./json-check.js";

/** @typedef {{ function: string, payload: string, kind: "event" | "request" }} Call */

/**
 * Open the editor over the page.
 *
 * @param {Call} call What it begins with.
 */
export function openReplay(call) {
  const form = replayForm(call, () => dialog.close());
  const dialog = el(
    "dialog",
    { class: "replay", "aria-labelledby": "replay-title", onclose: () => dialog.remove() },
    form,
  );
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * @param {Call} call
 * @param {() => void} close
 */
function replayForm(call, close) {
  const name = el("select", { name: "function" }, el("option", { value: call.function }, call.function));
  fillFunctions(name);
  const payload = el("textarea", {
    name: "payload",
    rows: 12,
    spellcheck: false,
    value: pretty(call.payload || "{}"),
    "aria-describedby": "replay-wrong",
    oninput: () => check(),
  });
  const wrong = el("p", { id: "replay-wrong", class: "wrong", role: "status" });
  const wait = el("input", {
    type: "radio",
    name: "kind",
    value: "request",
    checked: call.kind === "request",
  });
  const event = el("input", { type: "radio", name: "kind", value: "event", checked: call.kind === "event" });
  const send = el("button", { type: "submit", class: "main" }, "Invoke");
  const answer = el("div", { class: "answer", role: "status" });

  function check() {
    const what = whatIsWrong(payload.value);
    wrong.textContent = what;
    payload.setAttribute("aria-invalid", String(what !== ""));
    send.disabled = what !== "";
  }

  /** @param {Event} submitted */
  async function submit(submitted) {
    submitted.preventDefault();
    check();
    if (send.disabled) return;
    send.disabled = true;
    const began = performance.now();
    fill(
      answer,
      el("p", { class: "soft" }, event.checked ? "Handing the event over …" : "Waiting for the answer …"),
    );
    try {
      const said = await invoke({
        function: name.value,
        payload: payload.value,
        kind: event.checked ? "event" : "request",
      });
      showAnswer(answer, said, (performance.now() - began) / 1e3, close);
    } catch (error) {
      fill(answer, el("p", { class: "notice bad" }, error instanceof Error ? error.message : String(error)));
    }
    send.disabled = false;
  }

  check();
  return el(
    "form",
    { onsubmit: submit },
    el("h2", { id: "replay-title" }, "Invoke a function"),
    el("label", { class: "field" }, el("span", {}, "Function"), name),
    el("label", { class: "field" }, el("span", {}, "Payload, in JSON"), payload),
    wrong,
    el(
      "fieldset",
      { class: "field" },
      el("legend", {}, "How"),
      el("label", {}, wait, " as a request: wait for its answer"),
      el("label", {}, event, " as an event: it is queued, and tried again when it fails"),
    ),
    el("div", { class: "buttons" }, send, el("button", { type: "button", onclick: close }, "Close")),
    answer,
  );
}

/** @param {HTMLSelectElement} select Gets the names of all functions; keeps its value. */
async function fillFunctions(select) {
  const { value } = select;
  const { functions } = await getState().catch(() => ({ functions: [] }));
  const others = functions.map(one => one.name).filter(one => one !== value);
  for (const one of others) select.append(el("option", { value: one }, one));
}

/**
 * @param {HTMLElement} place
 * @param {Awaited<ReturnType<typeof invoke>>} said
 * @param {number} took Seconds.
 * @param {() => void} close
 */
function showAnswer(place, said, took, close) {
  const failed = said.function_error !== null || said.status >= 400;
  const queued = said.status === 202;
  const link = el("a", { hidden: true, onclick: close }, "Show the invocation");
  fill(
    place,
    el("h3", {}, queued ? "Queued" : `Answer after ${seconds(took)}`),
    el(
      "p",
      {},
      el(
        "span",
        { class: `badge ${failed ? "bad" : "good"}` },
        failed ? (said.function_error ?? `status ${said.status}`) : queued ? "accepted" : "succeeded",
      ),
      " ",
      link,
    ),
    said.answer && el("pre", { tabIndex: 0, "aria-label": "Answer" }, pretty(said.answer)),
  );
  getInvocations().then(
    all => {
      const found = all.findLast(one => one.request_id === said.request_id);
      link.hidden = !found;
      if (found) link.href = invocationAddress(found.number);
    },
    () => {}, // without the list there is no link
  );
}
