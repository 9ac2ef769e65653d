import assert from "node:assert/strict";
import { test } from "node:test";
import { count, noCounts, pauseAfter, probeSettings } from "./probe-counts.ts";

/** What a probe says after each of the results. */
function verdicts(results: string, probe: Parameters<typeof probeSettings>[0]): string {
  const settings = probeSettings(probe);
  let counts = noCounts;
  return [...results]
    .map((result, index) => {
      counts = count(counts, result === "+", index * settings.period, settings);
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

/** Milliseconds after which a probe that never succeeds says so, and how often it has run until then. */
function failing(probe: Parameters<typeof probeSettings>[0]): {
  readonly after: number;
  readonly runs: number;
} {
  const settings = probeSettings(probe);
  let counts = noCounts;
  let now = 0;
  for (let runs = 1; ; runs++) {
    counts = count(counts, false, now, settings);
    if (counts.passed === false) {
      return { after: now, runs };
    }
    now += pauseAfter(counts, runs, now, settings);
  }
}

test("what never passed is asked often, then at its period", () => {
  const settings = probeSettings({ periodSeconds: 1 });
  assert.equal(pauseAfter({ ...noCounts, everPassed: true }, 1, 0, settings), 1000);
  const first = Array.from({ length: 10 }, (_, i) => pauseAfter(noCounts, i + 1, 0, settings));
  assert.ok(first[0]! < 50);
  assert.ok(first.every((pause, i) => i === 0 || pause >= first[i - 1]!));
  assert.ok(first.every((pause) => pause <= 1000));
});

test("what never passed has failed when Kubernetes says so, however often it was asked", () => {
  assert.equal(failing({}).after, 20_000);
  assert.ok(failing({}).runs > 10);
  assert.equal(failing({ failureThreshold: 30 }).after, 290_000);
  assert.equal(failing({ failureThreshold: 1 }).after, 0);
  assert.equal(failing({ periodSeconds: 1, failureThreshold: 5 }).after, 4_000);
});

test("a failure that comes too early to count still ends a row of successes", () => {
  const settings = probeSettings({ successThreshold: 2 });
  const results = [false, true, false, true].map((success, i) => [success, i * 25] as const);
  const counts = results.reduce((before, [success, at]) => count(before, success, at, settings), noCounts);
  assert.equal(counts.passed, undefined);
  assert.equal(count(counts, true, 100, settings).passed, true);
});
