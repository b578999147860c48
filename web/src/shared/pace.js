/** Work that is asked for more often than it is worth doing. */

/** After work that took long, the browser and the server rest this many times as long. */
const RESTS = 2;

/**
 * @typedef {{ now: () => number, after: (ms: number, then: () => void) => number, cancel: (id: number) => void }} Clock
 *   Milliseconds.
 */

/** @type {Clock} */
const BROWSER = {
  now: () => performance.now(),
  after: (ms, then) => setTimeout(then, ms),
  cancel: id => clearTimeout(id),
};

/**
 * Do work at once when it is asked for, and then not again before a rest. Whatever is asked for meanwhile is done
 * once, after the rest.
 *
 * @param {() => Promise<unknown>} work It handles its own errors.
 * @param {number} restMs The shortest rest; after work that takes longer than that, the rest is twice as long as it.
 * @param {Clock} [clock]
 * @returns {{ ask: () => void, stop: () => void }}
 */
export function paced(work, restMs, clock = BROWSER) {
  /** @type {"idle" | "working" | "resting" | "stopped"} */
  let state = "idle";
  let again = false;
  let timer = 0;

  async function start() {
    state = "working";
    again = false;
    const began = clock.now();
    await work();
    if (state !== "working") return;
    state = "resting";
    timer = clock.after(Math.max(restMs, RESTS * (clock.now() - began)), () => {
      state = "idle";
      if (again) void start();
    });
  }

  return {
    ask() {
      if (state === "idle") void start();
      else again = true;
    },
    stop() {
      state = "stopped";
      clock.cancel(timer);
    },
  };
}
