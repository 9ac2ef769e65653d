import assert from "node:assert/strict";
import { test } from "node:test";
import { answerFor, namesOf, resolvConf } from "./names.ts";

const services = [
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
];
const names = namesOf(services, "10.64.0.0/16");

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
    ["10.128.64.10.in-addr.arpa", "PTR", { kind: "name", name: "web.shop.svc.cluster.local" }],
    ["2.1.64.10.IN-ADDR.ARPA.", "PTR", { kind: "name", name: "peers-1.peers.shop.svc.cluster.local" }],
    ["2.1.64.10.in-addr.arpa", "A", { kind: "empty" }],
    ["3.1.64.10.in-addr.arpa", "PTR", { kind: "unknown" }],
    ["3.1.65.10.in-addr.arpa", "PTR", { kind: "outside" }],
    ["3.1.164.10.in-addr.arpa", "PTR", { kind: "outside" }],
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
