import assert from "node:assert/strict";
import { test } from "node:test";
import { count, noCounts, pauseAfter, probeSettings } from "./probe-counts.ts";

/** What a probe says after each of the results. */
function verdicts(results: string, probe: Parameters<typeof probeSettings>[0]): string {
  const settings = probeSettings(probe);
  let counts = noCounts;
  return [...results]
    .map((result) => {
      counts = count(counts, result === "+", settings);
      return counts.passed === undefined ? "?" : counts.passed ? "+" : "-";
    })
    .join("");
}

test("thresholds count results in a row", () => {
  assert.equal(verdicts("--+--+---+", {}), "??++++++-+");
  assert.equal(verdicts("++-++", { successThreshold: 2 }), "?++++");
  assert.equal(verdicts("+-+-++", { successThreshold: 2 }), "?????+");
  assert.equal(verdicts("+-+", { failureThreshold: 1 }), "+-+");
  assert.equal(verdicts("---", {}), "??-");
});

test("what never passed is asked often, then at its period", () => {
  const settings = probeSettings({ periodSeconds: 1 });
  assert.equal(pauseAfter(true, 1, settings), 1000);
  const first = Array.from({ length: 10 }, (_, i) => pauseAfter(false, i + 1, settings));
  assert.ok(first[0]! < 50);
  assert.ok(first.every((pause, i) => i === 0 || pause >= first[i - 1]!));
  assert.ok(first.every((pause) => pause <= 1000));
});
