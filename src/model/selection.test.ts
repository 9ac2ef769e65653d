import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { indexByLabels } from "./selection.ts";

const labels = fc.dictionary(fc.constantFrom("app", "tier", "toString"), fc.constantFrom("a", "b"));
const item = fc.record({ namespace: fc.constantFrom("x", "y"), labels });

test("selects what looking at each one selects", () => {
  fc.assert(
    fc.property(fc.array(item), fc.constantFrom("x", "y"), labels, (items, namespace, selector) => {
      const wanted = Object.entries(selector);
      const expected = items.filter(
        (each) =>
          wanted.length > 0 &&
          each.namespace === namespace &&
          wanted.every(([key, value]) => Object.hasOwn(each.labels, key) && each.labels[key] === value),
      );
      assert.deepEqual(indexByLabels(items).select(namespace, selector), expected);
    }),
  );
});

test("no selector selects nothing", () => {
  const index = indexByLabels([{ namespace: "x", labels: { app: "a" } }]);
  assert.deepEqual(index.select("x", undefined), []);
});
