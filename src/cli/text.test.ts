import assert from "node:assert/strict";
import { test } from "node:test";

import type { Counts } from "../metrics/traffic.ts";
import { parseDuration } from "./duration.ts";
import { meshedServices, type ServiceView, servicesTable } from "./services.ts";
import { ago, complaints, type MeshStatus, statusText } from "./status-text.ts";
import { edgesTable, latency, resourcesTable, successRate } from "./top-text.ts";
import { parseTarget } from "./top.ts";
import { versionText } from "./version.ts";

function counts(success: number, failure = 0, more: Partial<Counts> = {}): Counts {
  const latencies = { p50: 1.26, p90: 15.4, p99: 196 };
  return { success, failure, mtls: success, protocols: ["http"], ...latencies, ...more };
}

const web = { kind: "Deployment", namespace: "shop", name: "web" };
const catalog = { kind: "Deployment", namespace: "shop", name: "catalog-v1" };

test("top: one line a resource", () => {
  const text = resourcesTable({
    window: 30,
    kind: "deployments",
    resources: [
      { resource: catalog, incoming: counts(399_999, 1), outgoing: undefined },
      { resource: web, incoming: counts(221), outgoing: counts(412, 103) },
      { resource: { ...web, name: "traffic" }, incoming: undefined, outgoing: counts(15) },
    ],
  });
  assert.equal(
    text,
    `Deployment  Incoming Success  Outgoing Success  NumRequests
catalog-v1  99.99%                              400000
web         100.00%           80.00%            221
traffic                       100.00%           15
`,
  );
});

test("top: the edges of one resource", () => {
  const text = edgesTable({
    window: 30,
    kind: "deployments",
    edges: [
      { direction: "to", resource: web, other: catalog, counts: counts(3, 1) },
      {
        direction: "to",
        resource: web,
        other: { kind: "Service", namespace: "shop", name: "empty" },
        counts: counts(0, 2),
      },
      {
        direction: "from",
        resource: web,
        other: { kind: "ServiceAccount", namespace: "other", name: "batch" },
        counts: counts(7),
      },
    ],
  });
  assert.equal(
    text,
    `Deployment  Direction  Resource                      Success Rate  P99    P90   P50    NumRequests
web
            To         catalog-v1                    75.00%        196ms  15ms  1.3ms  4
            To         empty (Service)               0.00%         196ms  15ms  1.3ms  2
            From       other/batch (ServiceAccount)  100.00%       196ms  15ms  1.3ms  7
`,
  );
});

test("success rates and latencies", () => {
  assert.equal(successRate(undefined), "");
  assert.equal(successRate(counts(0)), "");
  assert.equal(successRate(counts(0, 1)), "0.00%");
  assert.equal(successRate(counts(1e9, 1)), "99.99%");
  assert.deepEqual([undefined, 0.04, 9.94, 9.96, 1234.5].map(latency), [
    "",
    "0.0ms",
    "9.9ms",
    "10ms",
    "1235ms",
  ]);
});

test("top: what it is about", () => {
  assert.deepEqual(parseTarget("deployments"), { kinds: "deployments" });
  assert.deepEqual(parseTarget("deploy/web"), { kinds: "deployments", name: "web" });
  assert.deepEqual(parseTarget("Pod/web-1"), { kinds: "pods", name: "web-1" });
  for (const wrong of ["", "services", "pods/", "pods/a/b", "__proto__", "constructor/x"]) {
    assert.throws(() => parseTarget(wrong), { name: "CommandError" }, wrong);
  }
});

const services: readonly ServiceView[] = [
  {
    namespace: "shop",
    name: "catalog",
    addresses: ["10.1.0.1"],
    ports: [
      {
        port: 80,
        protocol: "http",
        backends: [
          { name: "catalog-v1", weight: 90 },
          { name: "catalog-v2", weight: 10 },
        ],
        upstreams: [
          { address: "10.0.0.2", port: 8080, pod: "catalog-v1-0", meshed: true },
          { address: "10.0.0.13", port: 8080, pod: "catalog-v2-0", meshed: true },
        ],
      },
    ],
  },
  {
    namespace: "shop",
    name: "plain",
    addresses: [],
    ports: [
      { port: 1, protocol: "tcp", upstreams: [{ address: "10.0.0.9", port: 1, pod: "p", meshed: false }] },
    ],
  },
];

test("services: those of the mesh, a line an upstream", () => {
  assert.equal(
    servicesTable(meshedServices(services)),
    `Service       Port  Protocol  Upstream   Port  Pod           Split
shop/catalog  80    http      10.0.0.2   8080  catalog-v1-0  catalog-v1:90 catalog-v2:10
shop/catalog  80    http      10.0.0.13  8080  catalog-v2-0  catalog-v1:90 catalog-v2:10
`,
  );
});

const now = Date.parse("2026-11-24T12:00:00Z");
const well: MeshStatus = {
  mesh: { name: "default", place: "/var/lib/nginx-mesh/local/default" },
  controller: {
    version: "0.1.0",
    startedAt: "2026-11-24T09:00:00Z",
    configuration: { version: "0123456789abcdef", keys: 42, error: "" },
    nats: {
      connected: true,
      publishedVersion: "0123456789abcdef",
      publishedAt: "2026-11-24T11:59:48Z",
      error: "",
    },
    counts: { services: 12 },
    settings: { mtlsMode: "permissive", trustDomain: "example.org" },
  },
  parts: [],
  unseen: [],
  pods: [],
  problems: [],
};

test("status: all is well", () => {
  assert.deepEqual(complaints(well), []);
  assert.equal(
    statusText(well, now),
    `Mesh           default (/var/lib/nginx-mesh/local/default)
Control plane  version 0.1.0, started 3 h ago
Configuration  0123456789ab, 42 keys, published 12 s ago
NATS           connected
mTLS           permissive, trust domain example.org
Services       12
Pods           0 of 0 ready, 0 in the mesh
Problems       none
`,
  );
});

test("status: what is not well is said", () => {
  const pod = {
    namespace: "shop",
    name: "web-1",
    ready: false,
    terminating: false,
    meshed: true,
    trouble: "; its log may say why",
  };
  const sick: MeshStatus = {
    ...well,
    controller: {
      ...well.controller,
      nats: { ...well.controller.nats, connected: false, publishedVersion: "old" },
    },
    parts: [
      { name: "Deployment nginx-mesh-controller", ready: 1, wanted: 1, troubles: [] },
      {
        name: "StatefulSet spire-server",
        ready: 0,
        wanted: 1,
        troubles: ["pod spire-server-0: ErrImagePull"],
      },
      { name: "DaemonSet spire-agent", ready: 0, wanted: 2, troubles: [] },
    ],
    unseen: ["the cluster does not allow this user to list statefulsets.apps"],
    pods: [pod, { ...pod, name: "web-2", terminating: true }, { ...pod, name: "web-3", ready: true }],
    problems: [
      {
        object: "TrafficSplit shop/a",
        field: "spec.backends",
        reason: "NotFound",
        message: "no Service b",
        severity: "error",
      },
      { object: "Service shop/c", field: "", reason: "NoEndpoints", message: "no pods", severity: "warning" },
    ],
  };
  assert.equal(
    statusText(sick, now).split("\n").slice(2).join("\n"),
    `Configuration          0123456789ab, 42 keys, not published yet, last time 12 s ago
NATS                   not connected
mTLS                   permissive, trust domain example.org
nginx-mesh-controller  1 of 1 ready
spire-server           0 of 1 ready
spire-agent            0 of 2 ready
Services               12
Pods                   1 of 2 ready, 2 in the mesh
Problems               2

NATS: not connected; sidecars go on with what they have
StatefulSet spire-server: 0 of 1 pods are ready: pod spire-server-0: ErrImagePull
DaemonSet spire-agent: 0 of 2 pods are ready: its pods do not exist yet
pod shop/web-1 is not ready; its log may say why
error: TrafficSplit shop/a: spec.backends: no Service b
not looked at: the cluster does not allow this user to list statefulsets.apps
warning: Service shop/c: no pods
`,
  );
  assert.equal(complaints(sick).length, 5);
});

test("times and durations", () => {
  const before = (seconds: number): string => ago(new Date(now - seconds * 1000).toISOString(), now);
  assert.deepEqual([0, 119, 600, 7200, 200_000].map(before), [
    "0 s ago",
    "119 s ago",
    "10 min ago",
    "2 h ago",
    "2 d ago",
  ]);
  assert.equal(ago(null, now), "never");
  assert.deepEqual(["5s", "1m30s", "500ms", "1.5h"].map(parseDuration), [5000, 90_000, 500, 5_400_000]);
  for (const wrong of ["", "5", "s", "5 s", "-1s", "1d"]) {
    assert.throws(() => parseDuration(wrong), wrong);
  }
});

test("version: a line a program", () => {
  assert.equal(
    versionText({ "nginx-meshctl": "0.1.0", "nginx-mesh-sidecar": "0.1.0" }),
    "nginx-meshctl - v0.1.0\nnginx-mesh-sidecar - v0.1.0\n",
  );
});
