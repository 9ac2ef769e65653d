import assert from "node:assert/strict";
import { test } from "node:test";
import { parseObject } from "../api/objects.ts";
import { createSnapshot, type RunningPod } from "../cluster/snapshot.ts";
import { templatesOf } from "./templates.ts";

const metadata = { name: "web", namespace: "shop" };
const template = {
  metadata: { labels: { app: "web" }, annotations: { note: "written" } },
  spec: { serviceAccountName: "clerk", containers: [{ name: "app", image: "app" }] },
};
const selector = { matchLabels: { app: "web" } };

/** Kinds that have pods, with what they write around their template; of a CronJob each run is a Job of its own. */
const kinds: readonly (readonly [string, string, object, string | undefined])[] = [
  ["apps/v1", "Deployment", { selector, template }, "deployment"],
  ["apps/v1", "DaemonSet", { selector, template }, "daemonset"],
  ["apps/v1", "StatefulSet", { selector, template, serviceName: "web" }, "statefulset"],
  ["apps/v1", "ReplicaSet", { selector, template }, "replicaset"],
  ["v1", "ReplicationController", { selector: { app: "web" }, template }, "replicationcontroller"],
  ["batch/v1", "Job", { template }, "job"],
  ["batch/v1", "CronJob", { schedule: "0 4 * * *", jobTemplate: { spec: { template } } }, undefined],
];

function snapshotOf(object: object, pods: readonly RunningPod[] = []) {
  const parsed = parseObject(object, "test");
  assert.deepEqual(parsed.problems, []);
  return createSnapshot({
    objects: [parsed.object!],
    pods,
    services: [],
    serviceRanges: [],
    problems: [],
  });
}

for (const [apiVersion, kind, spec, owner] of kinds) {
  test(`a ${kind} is ${owner === undefined ? "no workload" : "a workload, as its template says"}`, () => {
    const templates = templatesOf(snapshotOf({ apiVersion, kind, metadata, spec }));
    assert.deepEqual(
      templates.map((each) => [each.kind, each.namespace, each.name, each.labels["app"], each.annotations]),
      owner === undefined ? [] : [[owner, "shop", "web", "web", { note: "written" }]],
    );
    assert.ok(templates.every((each) => each.spec.serviceAccountName === "clerk"));
  });
}

test("a running pod stands for its workload only when nothing else does", () => {
  const pod = (name: string): RunningPod => ({
    namespace: "shop",
    name: `${name}-1`,
    uid: name,
    labels: {},
    annotations: { note: "running" },
    owner: { kind: "replicationcontroller", name },
    serviceAccount: "default",
    address: "10.0.0.1",
    ready: true,
    terminating: false,
    meshed: true,
    ports: [],
  });
  const [apiVersion, kind, spec] = kinds[4]!;
  const snapshot = snapshotOf({ apiVersion, kind, metadata, spec }, [pod("web"), pod("gone")]);
  assert.deepEqual(
    templatesOf(snapshot).map(({ name, annotations }) => [name, annotations["note"]]),
    [
      ["gone", "running"],
      ["web", "written"],
    ],
  );
});
