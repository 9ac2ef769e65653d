/** What is told on objects; the writing itself is tested against a real API server. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Problem } from "../../api/problem.ts";
import type { ObjectReference } from "../../cluster/kubernetes/entry.ts";
import { eventName, eventReason, verdicts } from "./reports.ts";

function reference(kind: string, name: string): ObjectReference {
  return { apiVersion: "split.smi-spec.io/v1alpha3", kind, namespace: "shop", name, uid: "u", generation: 4 };
}

function problem(object: string, severity: Problem["severity"], message: string): Problem {
  return { object, field: "spec", reason: "Conflict", message, severity };
}

const cases: readonly [string, readonly Problem[], object][] = [
  ["no problem", [], { accepted: true, reason: "Accepted", message: "" }],
  [
    "a problem of another object",
    [problem("TrafficSplit shop/other", "error", "bad")],
    { accepted: true, reason: "Accepted", message: "" },
  ],
  [
    "a warning leaves it in force",
    [problem("TrafficSplit shop/web", "warning", "odd")],
    { accepted: true, reason: "Conflict", message: "spec: odd" },
  ],
  [
    "an error does not, whatever stands before it",
    [
      problem("TrafficSplit shop/web", "warning", "odd"),
      { ...problem("TrafficSplit shop/web", "error", "bad"), reason: "Cycle" },
    ],
    { accepted: false, reason: "Cycle", message: "spec: odd; spec: bad" },
  ],
];

for (const [name, problems, expected] of cases) {
  test(`condition: ${name}`, () => {
    const [verdict, ...others] = verdicts([reference("TrafficSplit", "web")], problems);
    assert.deepEqual(others, []);
    const { accepted, reason, message } = verdict!;
    assert.deepEqual({ accepted, reason, message }, expected);
  });
}

test("kinds without a status get no condition", () => {
  assert.deepEqual(verdicts([reference("RateLimit", "limit"), reference("Service", "web")], []), []);
});

test("an event has NSM's reason for a RateLimit, and the same name each time", () => {
  const bad = problem("RateLimit shop/limit", "error", "bad");
  assert.equal(eventReason("RateLimit", bad), "UpsertRateLimitFailed");
  assert.equal(eventReason("TrafficSplit", bad), "Conflict");
  const of = reference("RateLimit", "limit");
  assert.equal(eventName(of, bad), eventName(of, { ...bad }));
  assert.notEqual(eventName(of, bad), eventName(of, { ...bad, message: "worse" }));
  assert.notEqual(eventName(of, bad), eventName({ ...of, uid: "v" }, bad));
  assert.ok(eventName({ ...of, name: "n".repeat(253) }, bad).length <= 253);
});
