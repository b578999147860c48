/** Where the page's data come from: the server behind the live page, or what a report holds. */

/**
 * @import { Invocation, LogLine, RunView, State } from "./types.js"
 * @typedef {{ views: RunView[], logs: LogLine[][], licences: string }} Inlined
 * @typedef {"connecting" | "live" | "lost"} Connection
 */

/** @returns {Inlined | null} */
function readInlined() {
  const text = document.getElementById("report-data")?.textContent;
  return text ? JSON.parse(text) : null;
}

const inlined = readInlined();

/** Whether this page is a report: one file, with nothing behind it. */
export const isReport = inlined !== null;

/** @returns {RunView[]} */
export const reportedViews = () => inlined?.views ?? [];

/** The licences that a report shows; the server has them in a file. */
export const reportedLicences = () => inlined?.licences ?? "";

/**
 * An answer of the server other than 200; its message is what the server says.
 */
export class ServerError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function request(path, options) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ServerError(0, "The page's server does not answer. `harness page` starts it again.");
  }
  if (!response.ok) {
    const text = (await response.text()).slice(0, 1000);
    throw new ServerError(response.status, text || `The page's server answered ${response.status}.`);
  }
  return response.json();
}

/** @param {Record<string, string | number | null | undefined>} parameters */
function query(parameters) {
  const pairs = Object.entries(parameters).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return pairs.length ? `?${new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]))}` : "";
}

/** @returns {Promise<State>} */
export const getState = () => request("api/state");

/**
 * @param {string} id
 * @param {{ from?: number, to?: number }} [span] Seconds of the run, for finer buckets of them.
 * @returns {Promise<RunView>}
 */
export async function getRun(id, span = {}) {
  if (!inlined) return request(`api/runs/${encodeURIComponent(id)}${query(span)}`);
  const found = inlined.views.find(view => view.run_id === id);
  if (!found) throw new ServerError(404, `This report has no run ${id}.`);
  return found;
}

/**
 * @param {string} id
 * @param {{ rank?: string, text?: string, since?: number }} [filter] `rank` is a number, or `coordinator`.
 * @returns {Promise<LogLine[]>}
 */
export async function getRunLog(id, filter = {}) {
  if (!inlined) return request(`api/runs/${encodeURIComponent(id)}/log${query(filter)}`);
  return inlined.logs[inlined.views.findIndex(view => view.run_id === id)] ?? [];
}

/**
 * @param {{ function?: string, request_id?: string }} filter
 * @returns {Promise<LogLine[]>} The last lines that the server has received from the stack.
 */
export const getLog = filter => request(`api/log${query(filter)}`);

/** @returns {Promise<Invocation[]>} */
export const getInvocations = () => request("api/invocations");

/**
 * @param {number} number
 * @returns {Promise<Invocation>}
 */
export const getInvocation = number => request(`api/invocations/${number}`);

/**
 * Invoke a function.
 *
 * @param {{ function: string, payload: string, kind: "event" | "request" }} call The payload is JSON; it is sent as it
 *   is, because a number may have more digits than JavaScript keeps.
 * @returns {Promise<{ status: number, request_id: string, function_error: string | null, answer: string }>}
 */
export function invoke(call) {
  const token = document.querySelector('meta[name="page-token"]')?.getAttribute("content") ?? "";
  return request("api/invoke", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Page-Token": token },
    body: `{"function": ${JSON.stringify(call.function)}, "kind": "${call.kind}", "payload": ${call.payload}}`,
  });
}

/**
 * @typedef {{
 *   state: State,
 *   invocations: Invocation[],
 *   run: { run_id: string },
 *   log: LogLine[],
 *   connection: Connection,
 * }} Events `connection` is the state of the connection to the server.
 */

/** @type {Map<string, Set<(data: any) => void>>} */
const listeners = new Map();
/** @type {Connection} */
let connection = "connecting";

/**
 * Call a function for each event of a kind.
 *
 * @template {keyof Events} Kind
 * @param {Kind} kind
 * @param {(data: Events[Kind]) => void} listener
 * @returns {() => void} Stops it.
 */
export function subscribe(kind, listener) {
  const all = listeners.get(kind) ?? new Set();
  listeners.set(kind, all.add(listener));
  return () => all.delete(listener);
}

/**
 * @template {keyof Events} Kind
 * @param {Kind} kind
 * @param {Events[Kind]} data
 */
function emit(kind, data) {
  for (const listener of listeners.get(kind) ?? []) listener(data);
}

/** @param {Connection} next */
function setConnection(next) {
  if (next === connection) return;
  connection = next;
  emit("connection", next);
}

export const currentConnection = () => connection;

/** Follow the server's events, for as long as the page is open; the browser connects again by itself. */
export function follow() {
  if (isReport) return;
  let source = new EventSource("api/events");
  const open = () => {
    source.onopen = () => setConnection("live");
    source.onerror = () => {
      setConnection("lost");
      // The browser gives up after an answer that is no stream, as while the server starts again.
      if (source.readyState === EventSource.CLOSED)
        setTimeout(() => {
          source = new EventSource("api/events");
          open();
        }, 2000);
    };
    for (const kind of /** @type {const} */ (["state", "invocations", "run", "log"]))
      source.addEventListener(kind, event => emit(kind, JSON.parse(event.data)));
  };
  open();
}
