import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { median, quantile, ratioOf } from "./statistics.ts";

test("quantiles interpolate between neighbours", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(quantile([10, 20, 30, 40, 50], 0.25), 20);
  assert.equal(quantile([7], 0.99), 7);
  assert.throws(() => median([]), RangeError);
});

test("a ratio is that of the rounds, not of the medians", () => {
  // a disturbance that slows both systems down in one round leaves the ratio as it is
  const { ratio, spread } = ratioOf([11, 110, 12.1], [10, 100, 11]);
  assert.ok(Math.abs(ratio - 1.1) < 1e-9);
  assert.ok(Math.abs(spread[0] - 1.1) < 1e-9 && Math.abs(spread[1] - 1.1) < 1e-9);
});

test("a quantile lies between the smallest and the largest value, and grows with the share", () => {
  const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 });
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(values, share, share, (list, one, other) => {
      const low = quantile(list, Math.min(one, other));
      const high = quantile(list, Math.max(one, other));
      assert.ok(low <= high + 1e-6);
      assert.ok(low >= Math.min(...list) - 1e-6 && high <= Math.max(...list) + 1e-6);
    }),
  );
});
