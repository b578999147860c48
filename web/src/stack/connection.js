/** What a user reads while the page's server does not answer; it goes away by itself. */

import { currentConnection, getState, ServerError, subscribe } from "../shared/data.js";
import { el, fill } from "../shared/dom.js";

const AGAIN_MS = 3_000;

/** @returns {HTMLElement} A notice for all views. */
export function connectionNotice() {
  const notice = el("div", { class: "notice bad connection-notice", role: "alert", hidden: true });
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    if (currentConnection() !== "lost") {
      notice.hidden = true;
      return;
    }
    const refused = await getState().then(
      () => false,
      error => error instanceof ServerError && (error.status === 401 || error.status === 403),
    );
    if (currentConnection() === "lost") {
      fill(notice, refused ? withoutToken() : withoutServer());
      notice.hidden = false;
      timer = setTimeout(look, AGAIN_MS);
    }
  }

  subscribe("connection", look);
  return notice;
}

function withoutServer() {
  return [
    el("b", {}, "The page's server does not answer. "),
    "What you see is the last that it said. ",
    el("code", {}, "harness page"),
    " starts it again, and this page then goes on by itself.",
  ];
}

function withoutToken() {
  return [
    el("b", {}, "The page's server does not know this browser. "),
    "Open the address that ",
    el("code", {}, "harness page"),
    " prints: it has the token of this project's page.",
  ];
}
