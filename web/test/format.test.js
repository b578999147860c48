import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../src/shared/format.js";

test("durations have a unit that suits them", () => {
  const shown = [0, 0.00042, 0.0123, 0.9994, 0.9996, 12.345, 99.96, 245, 7384].map(format.seconds);

  assert.deepEqual(shown, [
    "0 s",
    "0.42 ms",
    "12.3 ms",
    "999 ms",
    "1.00 s",
    "12.3 s",
    "1 min 40 s",
    "4 min 05 s",
    "2 h 03 min",
  ]);
});

test("sizes count in thousands", () => {
  assert.deepEqual([0, 312, 999, 1000, 123_456, 1.5e9].map(format.bytes), [
    "0 B",
    "312 B",
    "999 B",
    "1.00 kB",
    "123 kB",
    "1.50 GB",
  ]);
});

test("what is not known is a dash", () => {
  const shown = [
    format.seconds(null),
    format.bytes(undefined),
    format.count(null),
    format.figure(null),
    format.percent(Number.NaN),
    format.clock(null),
    format.plain(null),
  ];

  assert.deepEqual(new Set(shown), new Set([format.NONE]));
});

test("a loss has four digits that count", () => {
  assert.deepEqual([0.62245969, 0, 12345.6, 1.2e-7, -0.5, Number.POSITIVE_INFINITY].map(format.figure), [
    "0.6225",
    "0",
    "12,346",
    "1.20e-7",
    "-0.5",
    "Infinity",
  ]);
});

test("shares, moments and numbers of things", () => {
  assert.equal(format.percent(0.0042), "0.4 %");
  assert.equal(format.percent(0.42), "42 %");
  assert.equal(format.percent(0), "0 %");
  assert.equal(format.moment(63.257), "1:03.26");
  assert.equal(format.plural(1, "round"), "1 round");
  assert.equal(format.plural(10_000, "round"), "10,000 rounds");
});
