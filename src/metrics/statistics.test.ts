import assert from "node:assert/strict";
import { test } from "node:test";

import { statisticsSubject } from "../wire/keys.ts";
import type { EdgeStatistics } from "../wire/messages.ts";
import { emptyHistogram } from "./histogram.ts";
import { createStatistics, type Statistics, type StatisticsOptions } from "./statistics.ts";

const startedAt = 1_790_000_000;

function counted(total: number, failures: number, bucket: number) {
  const latency = emptyHistogram();
  latency[bucket] = total;
  return { total, failures, latency };
}

function to(name: string, pod: string, total: number, failures: number, more: Partial<EdgeStatistics> = {}) {
  const workload = { namespace: "shop", kind: "deployment", name };
  return {
    direction: "to",
    protocol: "http",
    workload,
    pod,
    mtls: true,
    ...counted(total, failures, 1),
    ...more,
  };
}

function from(identity: string, total: number, more: Partial<EdgeStatistics> = {}) {
  return {
    direction: "from",
    protocol: "http",
    identity,
    mtls: identity !== "",
    ...counted(total, 0, 0),
    ...more,
  };
}

function send(statistics: Statistics, name: string, pod: string, edges: readonly object[]): void {
  const text = JSON.stringify({
    version: 1,
    namespace: "shop",
    pod,
    workload: { namespace: "shop", kind: "deployment", name },
    worker: 0,
    startedAt,
    edges,
  });
  statistics.handle(statisticsSubject("shop", name, pod), Buffer.from(text));
}

function get(statistics: Statistics, path: string): { status: number; body: any } {
  const url = new URL(path, "http://controller");
  const route = statistics.routes.find((entry) => `${url.pathname}/`.startsWith(`${entry.path}/`));
  return route?.answer(url) ?? { status: 404, body: undefined };
}

/** web (two pods) calls catalog; catalog is also called by a pod without statistics and in plain text. */
function shop(options: StatisticsOptions = {}): Statistics {
  const statistics = createStatistics({ now: () => (startedAt + 10) * 1000, ...options });
  send(statistics, "web", "web-1", [to("catalog", "catalog-1", 60, 0), to("catalog", "catalog-2", 20, 10)]);
  send(statistics, "web", "web-2", [
    to("catalog", "catalog-1", 20, 0),
    { direction: "to", protocol: "http", service: "shop/empty", mtls: false, ...counted(5, 5, 0) },
  ]);
  send(statistics, "catalog", "catalog-1", [
    from("spiffe://example.org/ns/shop/sa/web", 79),
    from("spiffe://example.org/ns/other/sa/batch", 7),
    from("", 3),
  ]);
  return statistics;
}

test("a request that both ends report counts once; one that only the receiver reports counts too", () => {
  const { status, body } = get(shop(), "/top?kind=deployments&namespace=shop");
  assert.equal(status, 200);
  assert.deepEqual(
    body.resources.map((row: any) => [
      row.resource.name,
      row.incoming && [row.incoming.success, row.incoming.failure, row.incoming.mtls],
      row.outgoing && [row.outgoing.success, row.outgoing.failure, row.outgoing.mtls],
    ]),
    [
      ["catalog", [100, 10, 107], undefined],
      ["web", undefined, [90, 15, 100]],
    ],
  );
});

test("edges name the other end as well as it is known", () => {
  const edges = (name: string) =>
    get(shop(), `/top?kind=deployments&namespace=shop&name=${name}`).body.edges.map((edge: any) => [
      edge.direction,
      edge.other.kind,
      edge.other.name,
      edge.counts.success + edge.counts.failure,
    ]);
  assert.deepEqual(edges("web"), [
    ["to", "Deployment", "catalog", 100],
    ["to", "Service", "empty", 5],
  ]);
  assert.deepEqual(edges("catalog"), [
    ["from", "Unknown", "not in the mesh", 3],
    ["from", "ServiceAccount", "batch", 7],
    ["from", "Deployment", "web", 100],
  ]);
});

test("edges of all resources in one answer", () => {
  const { edges } = get(shop(), "/top?kind=pods&edges=all").body;
  assert.equal(edges.length, 9);
  assert.equal(new Set(edges.map((edge: any) => edge.resource.name)).size, 4);
});

test("pods and namespaces have the same numbers", () => {
  const pods = get(shop(), "/top?kind=pods").body.resources;
  assert.deepEqual(
    pods.map((row: any) => [row.resource.name, row.incoming?.success, row.outgoing?.success]),
    [
      ["catalog-1", 90, undefined],
      ["catalog-2", 10, undefined],
      ["web-1", undefined, 70],
      ["web-2", undefined, 20],
    ],
  );
  const [other, own] = get(shop(), "/top?kind=namespaces").body.resources;
  assert.deepEqual([other.resource.name, other.outgoing.success], ["other", 7]);
  assert.deepEqual([own.resource.name, own.incoming.success, own.outgoing.success], ["shop", 100, 90]);
});

test("latencies are those of requests where there are any", () => {
  const statistics = createStatistics({ now: () => (startedAt + 10) * 1000 });
  send(statistics, "web", "web-1", [
    to("catalog", "catalog-1", 10, 0),
    to("catalog", "catalog-1", 10, 0, { protocol: "tcp", ...counted(10, 0, 20) }),
    to("ledger", "ledger-1", 10, 0, { protocol: "tcp", ...counted(10, 0, 17) }),
  ]);
  const [catalog, ledger] = get(statistics, "/top").body.resources;
  assert.deepEqual([catalog.incoming.p50, catalog.incoming.protocols], [1.5, ["http", "tcp"]]);
  assert.equal(ledger.incoming.p50, 90);
});

test("SMI: a resource", () => {
  const { body } = get(shop(), "/apis/metrics.smi-spec.io/v1alpha1/namespaces/shop/deployments/catalog");
  assert.deepEqual(body, {
    kind: "TrafficMetrics",
    apiVersion: "metrics.smi-spec.io/v1alpha1",
    metadata: {
      namespace: "shop",
      name: "catalog",
      selfLink: "/apis/metrics.smi-spec.io/v1alpha1/namespaces/shop/deployments/catalog",
      creationTimestamp: "2026-09-21T14:13:30Z",
    },
    timestamp: "2026-09-21T14:13:30Z",
    window: "30s",
    resource: { kind: "Deployment", namespace: "shop", name: "catalog" },
    edge: { direction: "from", resource: null },
    metrics: [
      { name: "p99_response_latency", unit: "ms", value: "1989m" },
      { name: "p90_response_latency", unit: "ms", value: "1890m" },
      { name: "p50_response_latency", unit: "ms", value: "1450m" },
      { name: "success_count", value: "100" },
      { name: "failure_count", value: "10" },
    ],
  });
});

test("SMI: edges, lists, kinds", () => {
  const root = "/apis/metrics.smi-spec.io/v1alpha1";
  const { body } = get(shop(), `${root}/namespaces/shop/deployments/web/edges`);
  assert.equal(body.kind, "TrafficMetricsList");
  assert.deepEqual(body.items[0].edge, {
    direction: "to",
    resource: { kind: "Deployment", namespace: "shop", name: "catalog" },
  });
  const lists: readonly (readonly [string, number])[] = [
    ["/namespaces", 2],
    ["/namespaces/shop/pods", 4],
    ["/namespaces/shop/deployments", 2],
    ["/namespaces/other/deployments", 0],
    ["/namespaces/shop/edges", 4],
    ["/deployments", 2],
  ];
  for (const [path, length] of lists) {
    assert.equal(get(shop(), root + path).body.items.length, length, path);
  }
  assert.equal(get(shop(), `${root}/namespaces/shop`).body.resource.kind, "Namespace");
  assert.ok(get(shop(), root).body.resources.some((entry: any) => entry.name === "statefulsets"));
});

test("what is not there is 404, what is not understood 400", () => {
  const root = "/apis/metrics.smi-spec.io/v1alpha1";
  for (const path of [
    "/services",
    "/namespaces/a/services",
    "/namespaces/a/pods/b/c",
    "/pods/a",
    "/namespaces/a/pods/b/edges/x",
  ]) {
    assert.equal(get(shop(), root + path).status, 404, path);
  }
  assert.equal(get(shop(), `${root}/namespaces/%ff/pods`).status, 200);
  for (const query of ["?kind=services", "?kind=__proto__", "?window=0s", "?window=1h", "?window=31"]) {
    assert.equal(get(shop(), `/top${query}`).status, 400, query);
  }
});

test("a window may be shorter", () => {
  let now = startedAt + 1;
  const statistics = createStatistics({ now: () => now * 1000 });
  send(statistics, "web", "web-1", [to("catalog", "catalog-1", 60, 0)]);
  now += 10;
  send(statistics, "web", "web-1", [to("catalog", "catalog-1", 70, 0)]);
  assert.equal(get(statistics, "/top?window=5s").body.resources[0].incoming.success, 10);
});

test("with knowledge of the pods, a pod says nothing of another workload, nor one that is not there", () => {
  const reasons: string[] = [];
  const known = (namespace: string, name: string) =>
    namespace === "shop" && name.startsWith("web-")
      ? {
          serviceAccount: "web",
          workload: { namespace, kind: "deployment", name: name === "web-2" ? "other" : "web" },
        }
      : undefined;
  const statistics = shop({ pod: known, refused: (_subject, reason) => reasons.push(reason) });
  assert.deepEqual(statistics.counts, { taken: 1, refused: 2 });
  assert.deepEqual(reasons, ["pod shop/web-2 belongs to deployment/other", "there is no pod shop/catalog-1"]);
});
