import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import type { EdgeTraffic } from "../../src/metrics/traffic.ts";
import { exchanges, faultsOfMesh, faultsOfTraffic, shareOf, shareText, trafficTable } from "./figures.ts";
import type { Report, Traffic } from "./readings.ts";

const nothing: Report = {
  startedAt: 1,
  waitingFor: {},
  versions: { v1: 0, v2: 0 },
  checks: { page: { total: 0, failed: 0, lastError: "" } },
};

function answers(v1: number, v2: number): Report {
  return { ...nothing, versions: { v1, v2 } };
}

test("a share near its weight is right, one far from it is wrong", () => {
  const weights = { v1: 90, v2: 10 };
  assert.equal(shareOf(weights, nothing, answers(370, 42)).ok, true);
  assert.equal(shareOf(weights, nothing, answers(206, 206)).ok, false);
  assert.equal(shareOf(weights, answers(1000, 1000), answers(1370, 1042)).ok, true);
  assert.equal(
    shareText(shareOf(weights, nothing, answers(370, 42))),
    "weights 90:10, answers 89.8% : 10.2% of 412 (v2 may have 3.3% to 16.7%)",
  );
});

test("a weight of zero allows no answer, and few answers say nothing", () => {
  const all = { v1: 0, v2: 100 };
  assert.equal(shareOf(all, nothing, answers(0, 400)).ok, true);
  assert.equal(shareOf(all, nothing, answers(1, 400)).ok, false);
  assert.equal(shareOf(all, nothing, answers(0, 3)).ok, false);
  assert.match(shareText(shareOf(all, nothing, answers(0, 400))), /v2 must have 100%/);
});

test("answers drawn with the weights are right", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 99 }), fc.integer(), (percent, seed) => {
      let state = seed >>> 0;
      const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
      let v2 = 0;
      for (let i = 0; i < 400; i++) {
        v2 += random() < percent / 100 ? 1 : 0;
      }
      assert.ok(shareOf({ v1: 100 - percent, v2: percent }, nothing, answers(400 - v2, v2)).ok);
    }),
    { seed: 7, numRuns: 300 },
  );
});

function edge(caller: string, success: number, more: Partial<EdgeTraffic["counts"]> = {}): EdgeTraffic {
  return {
    direction: "from",
    resource: { kind: "Deployment", namespace: "shop", name: "web" },
    other: { kind: "Deployment", namespace: "shop", name: caller },
    counts: { success, failure: 0, mtls: success, protocols: ["http"], p50: 1, p90: 2, p99: 3, ...more },
  };
}

/** What the edges say, and the latencies of the resource as a whole. */
function traffic(...edges: readonly EdgeTraffic[]): Traffic {
  const counts = { ...edge("", 0).counts, p50: 1.5, p90: 2, p99: 40 };
  return { resources: [{ resource: edge("", 0).resource, incoming: counts, outgoing: undefined }], edges };
}

test("the table has a line for each workload that was called, with its callers", () => {
  const outside: EdgeTraffic = {
    ...edge("?", 5, { mtls: 0 }),
    other: { kind: "Unknown", namespace: "", name: "?" },
  };
  assert.equal(
    trafficTable(
      traffic(edge("traffic", 70), edge("api", 5, { p99: 40 }), outside, {
        ...edge("x", 9),
        direction: "to",
      }),
    ),
    `Service  Protocol  Per second  Success  P50    P90    P99   mTLS  Callers
web      http      15.0        100.00%  1.5ms  2.0ms  40ms  100%  api, traffic
`,
  );
});

test("failures and plain text within the mesh are faults", () => {
  assert.deepEqual(faultsOfMesh(traffic(edge("traffic", 70))), []);
  assert.deepEqual(faultsOfMesh(traffic(edge("traffic", 70, { failure: 2, mtls: 71 }))), [
    "requests to web failed, say the sidecars",
    "requests to web came without mTLS",
  ]);
});

test("a check that failed, and one that did nothing, are faults", () => {
  const after = (total: number, failed: number): Report => ({
    ...nothing,
    checks: { page: { total, failed, lastError: "gone" } },
  });
  assert.deepEqual(faultsOfTraffic(nothing, after(5, 0)), []);
  assert.deepEqual(faultsOfTraffic(nothing, after(5, 2)), ["page: 2 failed, the last one: gone"]);
  assert.deepEqual(faultsOfTraffic(after(5, 2), after(5, 2)), ["page: nothing was done"]);
  assert.deepEqual(exchanges(after(5, 2), after(9, 3)), { total: 4, failed: 1 });
});
