import assert from "node:assert/strict";
import { test } from "node:test";
import { answerFor, namesOf, resolvConf } from "./names.ts";

const names = namesOf([
  { namespace: "shop", name: "web", addresses: ["10.64.128.10"], pods: [] },
  {
    namespace: "shop",
    name: "peers",
    addresses: ["10.64.1.1", "10.64.1.2"],
    pods: [
      { name: "peers-0", address: "10.64.1.1" },
      { name: "peers-1", address: "10.64.1.2" },
    ],
  },
  { namespace: "shop", name: "empty", addresses: [], pods: [] },
]);

test("answers by name and type", () => {
  const cases: readonly [string, string, object][] = [
    ["web.shop.svc.cluster.local", "A", { kind: "addresses", addresses: ["10.64.128.10"] }],
    ["WEB.Shop.svc.cluster.local.", "A", { kind: "addresses", addresses: ["10.64.128.10"] }],
    ["web.shop.svc.cluster.local", "AAAA", { kind: "empty" }],
    ["peers-1.peers.shop.svc.cluster.local", "A", { kind: "addresses", addresses: ["10.64.1.2"] }],
    ["empty.shop.svc.cluster.local", "A", { kind: "addresses", addresses: [] }],
    ["nobody.shop.svc.cluster.local", "A", { kind: "unknown" }],
    ["web.other.svc.cluster.local", "AAAA", { kind: "unknown" }],
    ["web", "A", { kind: "unknown" }],
    ["example.com", "A", { kind: "outside" }],
    ["notcluster.local", "A", { kind: "outside" }],
  ];
  for (const [name, type, expected] of cases) {
    assert.deepEqual(answerFor(names, name, type, 0), expected, `${name} ${type}`);
  }
});

test("addresses take turns at the front", () => {
  const first = (turn: number): string | undefined => {
    const answer = answerFor(names, "peers.shop.svc.cluster.local", "A", turn);
    return answer.kind === "addresses" ? answer.addresses[0] : undefined;
  };
  assert.deepEqual([0, 1, 2].map(first), ["10.64.1.1", "10.64.1.2", "10.64.1.1"]);
});

test("short names are looked for in the pod's own namespace first", () => {
  assert.match(
    resolvConf("shop", "10.64.0.1"),
    /^nameserver 10\.64\.0\.1\nsearch shop\.svc\.cluster\.local svc\./,
  );
});
