import assert from "node:assert/strict";
import { test } from "node:test";
import { ownerOf, type OwnedMetadata } from "./owner.ts";

const hash = { "pod-template-hash": "5d9f7c" };
const reference = (kind: string, name: string) => ({ kind, name, controller: true });

const cases: readonly (readonly [string, OwnedMetadata, string | undefined])[] = [
  ["no owner", { name: "web" }, undefined],
  [
    "a Deployment's pod",
    { labels: hash, ownerReferences: [reference("ReplicaSet", "web-5d9f7c")] },
    "deployment/web",
  ],
  [
    "a ReplicaSet alone",
    { labels: {}, ownerReferences: [reference("ReplicaSet", "web-5d9f7c")] },
    "replicaset/web-5d9f7c",
  ],
  ["another hash", { labels: hash, ownerReferences: [reference("ReplicaSet", "web")] }, "replicaset/web"],
  ["a StatefulSet", { ownerReferences: [reference("StatefulSet", "db")] }, "statefulset/db"],
  [
    "the controller among several",
    { ownerReferences: [{ kind: "Backup", name: "b" }, reference("DaemonSet", "agent")] },
    "daemonset/agent",
  ],
  ["no controller", { ownerReferences: [{ kind: "Backup", name: "b" }] }, "backup/b"],
];

for (const [title, metadata, expected] of cases) {
  test(`owner: ${title}`, () => {
    const owner = ownerOf(metadata);
    assert.equal(owner === undefined ? undefined : `${owner.kind}/${owner.name}`, expected);
  });
}
