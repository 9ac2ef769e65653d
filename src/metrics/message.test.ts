import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { statisticsSubject } from "../wire/keys.ts";
import { externalKind } from "../wire/messages.ts";
import { emptyHistogram } from "./histogram.ts";
import { parseStatistics } from "./message.ts";

const subject = statisticsSubject("shop", "web", "web-1");
const edge = {
  direction: "to",
  protocol: "http",
  workload: { namespace: "shop", kind: "deployment", name: "catalog" },
  service: "shop/catalog",
  pod: "catalog-1",
  mtls: true,
  total: 3,
  failures: 1,
  latency: emptyHistogram(),
};
const good = {
  version: 1,
  namespace: "shop",
  pod: "web-1",
  workload: { namespace: "shop", kind: "deployment", name: "web" },
  worker: 0,
  startedAt: 1_790_000_000,
  edges: [edge],
};

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

test("a message of a sidecar is read", () => {
  const parsed = parseStatistics(subject, bytes(good));
  assert.deepEqual(parsed, { message: good, serviceAccount: "web" });
});

test("a field that is not known is ignored, and an empty list may be an object", () => {
  const parsed = parseStatistics(subject, bytes({ ...good, edges: {}, later: true }));
  assert.deepEqual(parsed, { message: { ...good, edges: [] }, serviceAccount: "web" });
});

test("a service account with dots is a token of the subject", () => {
  const dotted = statisticsSubject("shop", "web.v1", "web-1.a");
  const parsed = parseStatistics(dotted, bytes({ ...good, pod: "web-1.a" }));
  assert.ok("message" in parsed);
});

test("a workload may be of any kind, and an endpoint without a pod", () => {
  const outside = { ...edge, workload: { namespace: "shop", kind: externalKind, name: "database" }, pod: "" };
  const message = { ...good, workload: { ...good.workload, kind: "rollout" }, edges: [outside] };
  assert.deepEqual(parseStatistics(subject, bytes(message)), { message, serviceAccount: "web" });
});

const refused: readonly (readonly [string, string, unknown])[] = [
  ["not JSON", subject, "text"],
  ["another version", subject, { ...good, version: 2 }],
  ["another pod", subject, { ...good, pod: "web-2" }],
  ["another namespace", subject, { ...good, namespace: "other" }],
  [
    "a workload of another namespace",
    subject,
    { ...good, workload: { ...good.workload, namespace: "other" } },
  ],
  ["a longer subject", `${subject}.more`, good],
  ["a shorter subject", "statistics.shop", good],
  ["a negative count", subject, { ...good, edges: [{ ...edge, total: -1 }] }],
  ["a fraction", subject, { ...good, edges: [{ ...edge, total: 1.5 }] }],
  ["too few buckets", subject, { ...good, edges: [{ ...edge, latency: [1, 2] }] }],
  ["a name that no object has", subject, { ...good, pod: "../../etc" }],
  ["too many edges", subject, { ...good, edges: Array.from({ length: 4001 }, () => edge) }],
];

for (const [what, on, message] of refused) {
  test(`refused: ${what}`, () => {
    const parsed = parseStatistics(on, typeof message === "string" ? Buffer.from(message) : bytes(message));
    assert.ok("refused" in parsed);
    assert.notEqual(parsed.refused, "");
  });
}

test("refused: more than the NATS server lets through", () => {
  assert.ok("refused" in parseStatistics(subject, new Uint8Array(2 * 1024 * 1024)));
});

test("whatever comes, nothing is thrown", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.string(), (garbage, on) => {
      assert.ok("refused" in parseStatistics(on, garbage));
    }),
  );
  fc.assert(
    fc.property(fc.json(), (json) => {
      parseStatistics(subject, Buffer.from(json));
    }),
  );
});
