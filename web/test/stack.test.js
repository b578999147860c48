import assert from "node:assert/strict";
import { test } from "node:test";
import { coldSeconds, filterInvocations, InvocationStore } from "../src/stack/invocations-store.js";
import { pretty, whatIsWrong } from "../src/stack/json-check.js";
import { clock, layOut, ticks } from "../src/stack/lanes.js";
import { filterLines, readable, urgency } from "../src/stack/log-text.js";
import { chooseRuns } from "../src/stack/runs-order.js";

const attempt = fields => ({
  number: 1,
  function: "worker",
  version: "$LATEST",
  request_id: "r",
  attempt: 1,
  kind: "event",
  state: "succeeded",
  environment: "e1",
  cold: false,
  queued_at: 0,
  started_at: 1,
  ended_at: 3,
  init_ms: null,
  duration_ms: 2000,
  billed_ms: 2000,
  memory_mb: 256,
  used_mb: 100,
  error: "",
  error_message: "",
  due_at: null,
  ...fields,
});

test("a lane for each environment, in the order of use, below one for attempts that wait", () => {
  const lanes = layOut(
    [
      attempt({ number: 1, environment: "b" }),
      attempt({ number: 2, environment: "a" }),
      attempt({ number: 3, environment: "", state: "throttled", started_at: null, ended_at: null }),
      attempt({ number: 4, function: "coordinator", environment: "c" }),
      attempt({ number: 5, environment: "b", queued_at: 4, started_at: 4, ended_at: 5 }),
    ],
    0,
    10,
    10,
  );
  assert.deepEqual(
    lanes.map(lane => [lane.function, lane.environment, lane.bars.map(bar => bar.number)]),
    [
      ["coordinator", "c", [4]],
      ["worker", "", [3]],
      ["worker", "b", [1, 5]],
      ["worker", "a", [2]],
    ],
  );
});

test("attempts outside of the window take no lane", () => {
  assert.deepEqual(layOut([attempt({})], 3.5, 10, 10), []);
});

test("attempts that wait at the same time lie in lanes of their own, up to six", () => {
  const waiting = Array.from({ length: 9 }, (_, number) =>
    attempt({ number, environment: "", state: "queued", started_at: null, ended_at: null }),
  );
  const lanes = layOut(waiting, 0, 10, 10);
  assert.deepEqual(
    lanes.map(lane => lane.bars.length),
    [1, 1, 1, 1, 1, 4],
  );
});

test("an attempt that runs ends now, and its cold start is what its duration leaves", () => {
  const [lane] = layOut([attempt({ ended_at: null, state: "running" })], 0, 10, 7);
  assert.deepEqual([lane.bars[0].end, lane.bars[0].open], [7, true]);
  assert.equal(coldSeconds(attempt({ cold: true, duration_ms: 1500 })), 0.5);
  assert.equal(coldSeconds(attempt({ cold: false, duration_ms: 1500 })), 0);
});

test("the time axis has round moments, and as many digits as they need", () => {
  assert.deepEqual(
    ticks(0.95, 2.1, 5).map(tick => Math.round(tick.at * 10)),
    [10, 15, 20],
  );
  assert.match(clock(1.25, 2), /^\d\d:\d\d:01\.25$/);
  assert.match(clock(59.9999, 3), /:00\.000$/);
});

test("newer records replace older ones of the same attempt, and the oldest make room", () => {
  const store = new InvocationStore();
  store.merge([attempt({ number: 1, state: "running" }), attempt({ number: 2 })]);
  store.merge([attempt({ number: 1, state: "failed" })]);
  assert.deepEqual(
    store.all().map(one => one.state),
    ["failed", "succeeded"],
  );
  store.merge(Array.from({ length: 6000 }, (_, index) => attempt({ number: index + 1 })));
  assert.equal(store.all().length, 5000);
  assert.equal(store.get(6000)?.number, 6000);
});

test("invocations are found by function, by what went wrong and by text, the newest first", () => {
  const all = [
    attempt({ number: 1, state: "failed", error: "ValueError" }),
    attempt({ number: 2, state: "throttled", function: "other" }),
    attempt({ number: 3 }),
  ];
  const found = filter =>
    filterInvocations(all, { function: "", state: "", text: "", ...filter }).map(one => one.number);
  assert.deepEqual(found({}), [3, 2, 1]);
  assert.deepEqual(found({ state: "unwell" }), [2, 1]);
  assert.deepEqual(found({ state: "unwell", function: "worker" }), [1]);
  assert.deepEqual(found({ text: " valueerror " }), [1]);
});

test("what is wrong with a payload is said with its line and column", () => {
  assert.equal(whatIsWrong('{"a": [1, 2]}'), "");
  assert.equal(whatIsWrong('{"a": 1,\n "b": }'), 'Line 2, column 7: a value should be here, not "}".');
  assert.equal(whatIsWrong('{"a": '), "Line 1, column 7: a value should be here, but the text ends.");
  assert.equal(
    whatIsWrong("{'a': 1}"),
    'Line 1, column 2: a name in double quotes should be here, not "\'".',
  );
  assert.match(whatIsWrong('{"a": 1,}'), /^Line 1, column 9: a name/);
  assert.match(whatIsWrong("[1 2]"), /^Line 1, column 4: a comma or \]/);
  assert.match(whatIsWrong('["a\nb"]'), /^Line 1, column 2: a string/);
  assert.match(whatIsWrong("01"), /^Line 1, column 1: a value/);
  assert.match(whatIsWrong("{} x"), /^Line 1, column 4: the end/);
  assert.match(whatIsWrong("  "), /empty/);
  assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(pretty("{"), "{");
});

test("a payload with indentation has the same numbers and strings", () => {
  const text =
    ' {"big": 12345678901234567890, "one": 1.0, "s": "a, {b}: \\"c\\"", "none": [], "o": {}, "l": [1, [2]]}';
  const lines = [
    "{",
    '  "big": 12345678901234567890,',
    '  "one": 1.0,',
    '  "s": "a, {b}: \\"c\\"",',
    '  "none": [],',
    '  "o": {},',
    '  "l": [',
    "    1,",
    "    [",
    "      2",
    "    ]",
    "  ]",
    "}",
  ];
  assert.equal(pretty(text), lines.join("\n"));
  assert.equal(pretty(' "text" '), '"text"');
});

test("runs are found by words, sorted by a key, and those without a figure come last", () => {
  const run = fields => ({
    run_id: "a",
    status: "succeeded",
    started_at: 0,
    seconds: 1,
    n_workers: 4,
    model: "svm",
    dataset: "higgs",
    loss: 0.5,
    kept: true,
    differs: {},
    ...fields,
  });
  const runs = [
    run({ run_id: "a", loss: 0.5, differs: { lr: 0.1 } }),
    run({ run_id: "b", loss: null, status: "failed" }),
    run({ run_id: "c", loss: 0.2, started_at: 9, differs: { lr: 0.01, algorithm: "kmeans" } }),
  ];
  const found = (filter, order) =>
    chooseRuns(runs, { text: "", status: "", ...filter }, { key: "loss", down: false, ...order }).map(
      one => one.run_id,
    );
  assert.deepEqual(found({}, {}), ["c", "a", "b"]);
  assert.deepEqual(found({}, { down: true }), ["a", "c", "b"]);
  assert.deepEqual(found({ text: "lr=0.01 KMEANS" }, {}), ["c"]);
  assert.deepEqual(found({ status: "failed" }, {}), ["b"]);
  assert.deepEqual(found({}, { key: "started_at", down: true })[0], "c");
});

test("log lines are found by function, rank and text; escapes of a terminal are left out", () => {
  const line = fields => ({
    at: 0,
    function: "worker",
    request_id: "",
    rank: null,
    run_id: null,
    text: "",
    ...fields,
  });
  const all = [
    line({ rank: 0, text: "Epoch 1" }),
    line({ rank: 10, text: "epoch 2" }),
    line({ function: "x" }),
  ];
  assert.equal(filterLines(all, { function: "", rank: "", text: "EPOCH" }).length, 2);
  assert.equal(filterLines(all, { function: "", rank: "0", text: "" }).length, 1);
  assert.equal(filterLines(all, { function: "x", rank: "", text: "" }).length, 1);
  assert.equal(readable("\u001b[31mred\u001b[0m\n"), "red");
  assert.deepEqual(["an ERROR here", '{"level": "WARNING"}', "errors: 0"].map(urgency), ["bad", "warn", ""]);
});
