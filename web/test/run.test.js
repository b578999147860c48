import assert from "node:assert/strict";
import { test } from "node:test";
import {
  allPositive,
  curveOf,
  joined,
  memoryGrid,
  metricsOf,
  needsLog,
  placeInBins,
  thinned,
  timeInBins,
} from "../src/run/curve-data.js";
import { comparedFigures, differingKeys } from "../src/run/differences.js";
import { matches, readable, unseen } from "../src/run/log-model.js";
import {
  barAt,
  barsOf,
  digitsOf,
  lanesOf,
  layOut,
  pan,
  refined,
  ticks,
  wholeSpan,
  zoom,
} from "../src/run/timeline-model.js";
import { describeBar, keyFigures, stragglerSentence } from "../src/run/words.js";

const attempt = changes => ({
  attempt: 1,
  link: 1,
  request_id: "r",
  started: 1,
  ended: 5,
  outcome: "finished",
  cause: "",
  cold_start: null,
  intervals: [
    ["start", 0.5, 1, "imports"],
    ["load", 1, 2, ""],
  ],
  buckets: [
    [2, 3, 1, 10, 0.6, 0.3, 1],
    [3, 4, 11, 10, 0.2, 0.7, 1],
  ],
  memory: [
    [1, 60],
    [3, 80],
  ],
  complete: true,
  ...changes,
});

const rank = (number, attempts = [attempt()]) => ({
  rank: number,
  state: "finished",
  round: 20,
  rows: 100,
  compute_s: 0.8,
  wait_s: 1,
  blamed_s: 0,
  sent_bytes: 100,
  received_bytes: 200,
  max_rss_mb: 80,
  cpu_s: 1,
  attempts,
});

const view = changes => ({
  run_id: "a",
  status: "succeeded",
  seconds: 6,
  job: { lr: 0.1, run_id: "a" },
  versions: {},
  summary: null,
  epochs: [
    { epoch: 1, at: 3, loss: 0.7, metrics: { accuracy: 0.5 }, validation: { rows: 10, loss: 0.8 } },
    { epoch: 2, at: 4, loss: 0.5, metrics: { accuracy: 0.6 }, validation: { rows: 10, loss: 0.6 } },
  ],
  ranks: [rank(0), rank(1)],
  rounds: { done: 20, planned: 40, p50_ms: 10, p99_ms: 20, histogram: [], series: [] },
  marks: [],
  shares: [{ name: "wait", seconds: 2, text: "" }],
  straggler: null,
  ...changes,
});

test("attempts that follow each other share a lane, and those at the same time do not", () => {
  const first = attempt();
  const second = attempt({ attempt: 2, started: 6, ended: 9, intervals: [["start", 5.2, 6, ""]] });
  const link = attempt({ attempt: 4, link: 2, started: 8.99, ended: 10, intervals: [] });
  const twin = attempt({ attempt: 3, started: 2, ended: 3, intervals: [] });

  assert.deepEqual(
    lanesOf([first, second, twin, link], 10).map(lane => lane.map(one => one.attempt)),
    [[1, 2, 4], [3]],
  );
});

test("a rank's cold start belongs to its bars, and a moment finds the bar at it", () => {
  const [row] = layOut([rank(0)], 6, 34);
  const bars = barsOf(row, { from: 0, to: 6 });

  assert.deepEqual(
    bars.map(bar => [bar.kind, bar.start]),
    [
      ["interval", 0.5],
      ["interval", 1],
      ["bucket", 2],
      ["bucket", 3],
    ],
  );
  assert.equal(barAt(bars, 2.5, 0)?.start, 2);
  assert.equal(barAt(bars, 4.2, 0), null);
  assert.equal(barAt(bars, 4.2, 0.5)?.start, 3);
});

test("64 ranks fit a screen, and a few are higher", () => {
  const few = layOut(
    Array.from({ length: 4 }, (_, index) => rank(index)),
    6,
    0,
  );
  const many = layOut(
    Array.from({ length: 64 }, (_, index) => rank(index)),
    6,
    0,
  );

  assert.ok(few[0].height > many[0].height);
  assert.ok(many[63].top + many[63].height <= 720);
});

test("zooming keeps the moment at the pointer, and stays within the run", () => {
  const whole = { from: 0, to: 10 };
  const closer = zoom(whole, whole, 0.5, 2);

  assert.deepEqual(closer, { from: 1, to: 6 });
  assert.deepEqual(zoom(closer, whole, 100, 2), whole);
  assert.deepEqual(pan(closer, whole, 100), { from: 5, to: 10 });
  assert.deepEqual(pan(closer, whole, -100), { from: 0, to: 5 });
});

test("a run that goes on is shown up to now", () => {
  const running = view({ seconds: 7, ranks: [rank(0, [attempt({ ended: null, outcome: "running" })])] });

  assert.deepEqual(wholeSpan(running), { from: 0, to: 7 });
});

test("an axis has round steps", () => {
  assert.deepEqual(ticks({ from: 0, to: 10 }, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(
    ticks({ from: 0.0012, to: 0.0031 }, 4).map(at => at.toFixed(4)),
    ["0.0015", "0.0020", "0.0025", "0.0030"],
  );
});

test("an axis tells its moments apart", () => {
  for (const [length, digits] of [
    [20, 0],
    [6.74, 1],
    [0.04, 3],
  ])
    assert.equal(digitsOf(ticks({ from: 0, to: length }, 14)), digits);
});

test("finer buckets take the place of the coarse ones of their span", () => {
  const finer = rank(0, [
    attempt({
      buckets: [
        [2, 2.5, 1, 5, 0.3, 0.1, 1],
        [2.5, 3, 6, 5, 0.3, 0.2, 1],
      ],
    }),
  ]);
  const [mixed] = refined([rank(0)], [finer], { from: 2, to: 3 });

  assert.deepEqual(
    mixed.attempts[0].buckets.map(([start, , first, rounds]) => [start, first, rounds]),
    [
      [2, 1, 5],
      [2.5, 6, 5],
      [3, 11, 10],
    ],
  );
});

test("curves are the loss and the metrics of both kinds of rows", () => {
  const { epochs } = view();

  assert.deepEqual(metricsOf(epochs), ["loss", "accuracy"]);
  assert.deepEqual(curveOf(epochs, "loss"), { x: [1, 2], train: [0.7, 0.5], validation: [0.8, 0.6] });
  assert.deepEqual(curveOf(epochs, "accuracy").validation, [null, null]);
  assert.equal(allPositive([0.7, null], [0]), false);
});

test("curves of different length share an x", () => {
  assert.deepEqual(
    joined([
      { x: [1, 2], y: [5, 6] },
      { x: [2, 3], y: [7, 8] },
    ]),
    [
      [1, 2, 3],
      [5, 6, null],
      [null, 7, 8],
    ],
  );
});

test("a thinned series keeps its ends of each group", () => {
  const points = Array.from({ length: 10_000 }, (_, index) => [index, index === 5003 ? 900 : index % 7]);
  const kept = thinned(points, 500, ([, value]) => value);

  assert.ok(kept.length <= 500);
  assert.ok(kept.some(([, value]) => value === 900));
  assert.deepEqual(
    kept.map(([index]) => index),
    kept.map(([index]) => index).sort((a, b) => a - b),
  );
  assert.deepEqual(
    thinned(points.slice(0, 3), 500, ([, value]) => value),
    points.slice(0, 3),
  );
});

test("memory is there while an attempt runs, and not before or after it", () => {
  const [x, sizes] = memoryGrid([rank(0)], 10, 10);

  assert.deepEqual(x, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(sizes, [null, 60, 60, 80, 80, 80, null, null, null, null, null]);
});

test("a histogram's bins may have any widths", () => {
  const rounds = {
    histogram: [
      [1, 10, 5],
      [10, 100, 3],
    ],
  };

  assert.equal(placeInBins(rounds, 55), 1);
  assert.equal(timeInBins(rounds, 1), 55);
  assert.equal(timeInBins(rounds, placeInBins(rounds, 7)), 7);
  assert.equal(needsLog([1, 1, 1, 50]), true);
  assert.equal(needsLog([1, 2, 3]), false);
});

test("a bar says what it is", () => {
  const [row] = layOut([rank(3)], 6, 0);
  const bars = barsOf(row, { from: 0, to: 6 });

  assert.deepEqual(describeBar(bars[2]), [
    "Rounds 1 to 10, rank 3",
    "0:02.00 to 0:03.00, 1.00 s",
    "Compute and exchange 600 ms",
    "Wait 300 ms, longest for rank 1",
    "Between rounds 100 ms",
  ]);
  assert.deepEqual(describeBar(bars[0]), ["Cold start, rank 3", "0:00.50 to 0:01.00, 500 ms", "imports"]);
});

test("the headline has what is known, and no more", () => {
  const names = keyFigures(view()).map(([name]) => name);

  assert.ok(names.includes("Validation loss"));
  assert.ok(!names.includes("Cost on AWS"));
  assert.deepEqual(
    keyFigures(view()).find(([name]) => name === "Rounds"),
    ["Rounds", "20 of 40"],
  );
});

test("the straggler is named in a sentence", () => {
  const straggler = {
    rank: 1,
    waited_s: 3.2,
    share: 0.4,
    rounds: 266,
    first_round: 133,
    last_round: 400,
    text: "",
  };

  assert.equal(
    stragglerSentence(view({ straggler })),
    "The others waited 3.20 s for rank 1, 40 % of the time in rounds: in 266 rounds between 133 and 400.",
  );
  assert.equal(
    stragglerSentence(view({ straggler: { ...straggler, rounds: 1, first_round: 200, last_round: 200 } })),
    "The others waited 3.20 s for rank 1, 40 % of the time in rounds: in round 200.",
  );
  assert.equal(stragglerSentence(view()), "No rank stood out as a straggler.");
});

test("two runs differ in keys of the job other than their names, and in times beyond noise", () => {
  const a = view();
  const b = view({ run_id: "b", job: { lr: 0.2, run_id: "b" }, seconds: 9, summary: { rows_per_s: 5 } });
  const keys = differingKeys(a.job, b.job);
  const [time] = comparedFigures(a, b);

  assert.deepEqual(
    keys.differing.map(({ name, a, b }) => [name, a, b]),
    [["lr", "0.1", "0.2"]],
  );
  assert.deepEqual(
    [time.name, time.a, time.b, time.change, time.verdict],
    ["Time", "6.00 s", "9.00 s", "+50 %", "worse"],
  );
  assert.equal(comparedFigures(a, view({ seconds: 6.1 }))[0].verdict, "");
});

test("log lines are chosen by rank and by text", () => {
  const line = { at: 1, function: "f", request_id: "r", rank: 2, run_id: "a", text: "Round 7 is over" };

  assert.equal(matches(line, { rank: "", text: "ROUND 7" }), true);
  assert.equal(matches(line, { rank: "2", text: "" }), true);
  assert.equal(matches(line, { rank: "12", text: "" }), false);
  assert.equal(matches(line, { rank: "coordinator", text: "" }), false);
  assert.equal(matches({ ...line, rank: null }, { rank: "coordinator", text: "" }), true);
});

test("an event's line reads as its name and its figures, any other line as it is", () => {
  assert.deepEqual(readable('{"event": "epoch", "rank": 0, "loss": 0.123456789, "best": null}'), {
    event: "epoch",
    rest: "loss=0.123457",
  });
  assert.equal(
    readable('{"event": "started", "started_at": 1796098226.9612}').rest,
    "started_at=1796098226.96",
  );
  assert.deepEqual(readable("START RequestId: x"), { event: "", rest: "START RequestId: x" });
  assert.deepEqual(readable('{"event": '), { event: "", rest: '{"event": ' });
});

test("a line that the server has answered with is not shown again when the stream brings it", () => {
  const line = (at, text) => ({ at, function: "f", request_id: "r", rank: 0, run_id: "run", text });
  const known = [line(1, "a"), line(2, "b")];
  const added = [line(2, "b"), line(2, "c"), line(3, "a"), line(3, "a")];
  assert.deepEqual(unseen(added, known), [line(2, "c"), line(3, "a"), line(3, "a")]);
});
