import assert from "node:assert/strict";
import { test } from "node:test";
import { compareAddress, invocationAddress, readRoute, runAddress } from "../src/shared/router.js";

test("each view has an address", () => {
  assert.deepEqual(readRoute(""), { name: "overview" });
  assert.deepEqual(readRoute("#/"), { name: "overview" });
  assert.deepEqual(readRoute("#/invocations"), { name: "invocations", number: null });
  assert.deepEqual(readRoute("#/invocations/12"), { name: "invocations", number: 12 });
  assert.deepEqual(readRoute("#/runs/20261201-024801-4922f2"), {
    name: "run",
    id: "20261201-024801-4922f2",
  });
  assert.deepEqual(readRoute("#/compare/a/b"), { name: "compare", ids: ["a", "b"] });
});

test("an address leads back to what it was made from, whatever the name", () => {
  const name = "a/b #<ü>%";

  assert.deepEqual(readRoute(runAddress(name)), { name: "run", id: name });
  assert.deepEqual(readRoute(compareAddress(name, "b")), { name: "compare", ids: [name, "b"] });
  assert.deepEqual(readRoute(invocationAddress(7)), { name: "invocations", number: 7 });
});

test("everything else is unknown", () => {
  for (const hash of [
    "#/nothing",
    "#/runs",
    "#/runs/a/b",
    "#/compare/a",
    "#/invocations/x",
    "#/runs/%E0%A4%A",
  ])
    assert.deepEqual(readRoute(hash), { name: "unknown", hash });
});
