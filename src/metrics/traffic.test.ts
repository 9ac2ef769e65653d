import assert from "node:assert/strict";
import { test } from "node:test";
import { latencyBuckets } from "../wire/messages.ts";
import type { Flow, Party } from "./flows.ts";
import { edgesOf, type Resource, trafficOf } from "./traffic.ts";

const latency = latencyBuckets.map(() => 0).concat(0);
const web: Party = {
  namespace: "shop",
  pod: "web-1",
  serviceAccount: "web",
  workload: { namespace: "shop", kind: "deployment", name: "web" },
};
const party = (kind: string): Party => ({
  namespace: "shop",
  pod: "x-1",
  workload: { namespace: "shop", kind, name: "x" },
});
const flow = (source: Party, destination: Party, total: number, failures: number): Flow => ({
  source,
  destination,
  protocol: "http",
  mtls: true,
  total,
  failures,
  latency,
});

const others: readonly (readonly [string, Party, Resource])[] = [
  ...(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Pod"].map(
    (kind) => [`a ${kind}`, party(kind.toLowerCase()), { kind, namespace: "shop", name: "x" }],
  ) as readonly (readonly [string, Party, Resource])[]),
  [
    "a Service without pods",
    { namespace: "shop", service: "shop/database" },
    { kind: "Service", namespace: "shop", name: "database" },
  ],
  [
    "a service account",
    { namespace: "shop", serviceAccount: "clerk" },
    { kind: "ServiceAccount", namespace: "shop", name: "clerk" },
  ],
  ["nobody of the mesh", { namespace: "" }, { kind: "Unknown", namespace: "", name: "not in the mesh" }],
];

for (const [what, other, resource] of others) {
  test(`the other end of a Deployment's edge is ${what}`, () => {
    const [to, from] = edgesOf([flow(web, other, 3, 1), flow(other, web, 5, 0)], "deployments").filter(
      (each) => each.resource.name === "web",
    );
    assert.deepEqual(
      [to?.direction, to?.other, to?.counts.success, to?.counts.failure],
      ["to", resource, 2, 1],
    );
    assert.deepEqual([from?.direction, from?.other, from?.counts.success], ["from", resource, 5]);
  });
}

test("of a pod's edge the other end is a pod where one is known, and a resource has what all its pods have", () => {
  const second: Party = { ...web, pod: "web-2" };
  const flows = [flow(web, party("job"), 3, 1), flow(second, party("job"), 4, 0)];
  assert.deepEqual(
    edgesOf(flows, "pods", "shop")
      .filter(({ direction }) => direction === "to")
      .map(({ resource, other }) => [resource.name, other.kind, other.name]),
    [
      ["web-1", "Pod", "x-1"],
      ["web-2", "Pod", "x-1"],
    ],
  );
  const [row] = trafficOf(flows, "deployments");
  assert.deepEqual([row?.resource.name, row?.outgoing?.success, row?.outgoing?.failure], ["web", 6, 1]);
  assert.equal(row?.incoming, undefined);
  assert.deepEqual(trafficOf(flows, "deployments", "elsewhere"), []);
});
