import assert from "node:assert/strict";
import { test } from "node:test";
import { applyPatch, below, jsonPatch, type Operation } from "./patch.ts";

const before = { a: [1, 2, 3], b: { c: 1 }, "x/y~z": 1 };

const cases: readonly (readonly [Operation, unknown])[] = [
  [
    { op: "add", path: ["a", 0], value: 0 },
    { ...before, a: [0, 1, 2, 3] },
  ],
  [
    { op: "add", path: ["a", 3], value: 4 },
    { ...before, a: [1, 2, 3, 4] },
  ],
  [
    { op: "replace", path: ["a", 1], value: 9 },
    { ...before, a: [1, 9, 3] },
  ],
  [
    { op: "remove", path: ["a", 1] },
    { ...before, a: [1, 3] },
  ],
  [
    { op: "add", path: ["b", "d"], value: {} },
    { ...before, b: { c: 1, d: {} } },
  ],
  [
    { op: "remove", path: ["b", "c"] },
    { ...before, b: {} },
  ],
  [
    { op: "replace", path: ["x/y~z"], value: 2 },
    { ...before, "x/y~z": 2 },
  ],
];

for (const [operation, after] of cases) {
  test(`${operation.op} at ${operation.path.join(" ")}`, () => {
    const given = structuredClone(before);
    assert.deepEqual(applyPatch(given, [operation]), after);
    assert.deepEqual(given, before);
  });
}

test("paths are JSON Pointers, also below others", () => {
  const operations = below(["spec", "a/b~c"], [{ op: "remove", path: ["list", 0] }]);
  assert.deepEqual(jsonPatch(operations), [{ op: "remove", path: "/spec/a~1b~0c/list/0" }]);
});
