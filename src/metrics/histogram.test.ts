import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { latencyBuckets } from "../wire/messages.ts";
import { addHistogram, emptyHistogram, percentile } from "./histogram.ts";

function histogram(counts: Readonly<Record<number, number>>): number[] {
  const result = emptyHistogram();
  for (const [bucket, count] of Object.entries(counts)) {
    result[Number(bucket)] = count;
  }
  return result;
}

test("nothing counted has no percentile", () => {
  assert.equal(percentile(emptyHistogram(), 0.5), undefined);
});

test("a percentile lies inside its bucket in proportion", () => {
  // 100 values above 1 and up to 2 ms.
  assert.equal(percentile(histogram({ 1: 100 }), 0.5), 1.5);
  assert.equal(percentile(histogram({ 1: 100 }), 0.99), 1.99);
  // Half below 1 ms, half between 80 and 100 ms.
  assert.equal(percentile(histogram({ 0: 50, 17: 50 }), 0.5), 1);
  assert.equal(percentile(histogram({ 0: 50, 17: 50 }), 0.9), 96);
});

test("what is above the last bound counts as that bound", () => {
  assert.equal(percentile(histogram({ [latencyBuckets.length]: 3 }), 0.5), latencyBuckets.at(-1));
});

test("percentiles grow with the quantile and stay within the bounds", () => {
  const counts = fc.array(fc.nat(1000), {
    minLength: latencyBuckets.length + 1,
    maxLength: latencyBuckets.length + 1,
  });
  fc.assert(
    fc.property(counts, fc.double({ min: 0, max: 1, noNaN: true }), (values, quantile) => {
      const p = percentile(values, quantile);
      const p99 = percentile(values, Math.max(quantile, 0.99));
      assert.equal(
        p === undefined,
        values.every((value) => value === 0),
      );
      assert.ok((p ?? 0) <= (p99 ?? 0));
      assert.ok((p ?? 0) >= 0 && (p ?? 0) <= 60_000);
    }),
  );
});

test("histograms add up", () => {
  const sum = histogram({ 1: 2, 4: 1 });
  addHistogram(sum, histogram({ 1: 3, 5: 7 }));
  assert.deepEqual(sum, histogram({ 1: 5, 4: 1, 5: 7 }));
});
