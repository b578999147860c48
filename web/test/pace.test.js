import assert from "node:assert/strict";
import { test } from "node:test";
import { paced } from "../src/shared/pace.js";

/** A clock that a test moves. */
function handClock() {
  let now = 0;
  let serial = 0;
  const due = new Map();
  return {
    now: () => now,
    after(ms, then) {
      due.set(++serial, { at: now + ms, then });
      return serial;
    },
    cancel: id => due.delete(id),
    /** Move on; whatever is due happens, and promises are kept. */
    async pass(ms) {
      now += ms;
      for (const [id, { at, then }] of due)
        if (at <= now) {
          due.delete(id);
          then();
        }
      await new Promise(resolve => setImmediate(resolve));
    },
  };
}

test("a run that changes forty times in ten seconds is drawn eleven times at most, and once more at its end", async () => {
  const clock = handClock();
  let done = 0;
  const { ask } = paced(async () => void done++, 1000, clock);
  for (let tick = 0; tick < 40; tick++) {
    ask();
    await clock.pass(250);
  }
  assert.equal(done, 10);
  await clock.pass(1000);
  assert.equal(done, 11);
  await clock.pass(60_000);
  assert.equal(done, 11, "nothing is done that nobody has asked for");
});

test("what was asked for during slow work is done once, after a rest of twice its time", async () => {
  const clock = handClock();
  let begun = 0;
  let finish = () => {};
  const { ask } = paced(
    () => {
      begun++;
      return new Promise(resolve => {
        finish = resolve;
      });
    },
    1000,
    clock,
  );
  ask();
  ask();
  ask();
  await clock.pass(4000);
  assert.equal(begun, 1, "never twice at the same time");
  finish();
  await clock.pass(0);
  await clock.pass(7999);
  assert.equal(begun, 1);
  await clock.pass(1);
  assert.equal(begun, 2);
});

test("nothing is done after the end", async () => {
  const clock = handClock();
  let done = 0;
  const { ask, stop } = paced(async () => void done++, 1000, clock);
  ask();
  ask();
  stop();
  await clock.pass(10_000);
  ask();
  await clock.pass(10_000);
  assert.equal(done, 1);
});
