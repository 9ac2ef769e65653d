import assert from "node:assert/strict";
import { test } from "node:test";
import { readManifest } from "../cluster/manifest.ts";
import { createSnapshot } from "../cluster/snapshot.ts";
import { buildModel } from "../model/build.ts";
import { namedServices } from "./node-services.ts";

test("the name of a headless Service stands for its ready pods, whatever ports it has", () => {
  const pod = (name: string, address: string, ready: boolean) => ({
    namespace: "default",
    name,
    uid: name,
    labels: { app: "db" },
    annotations: {},
    owner: { kind: "statefulset", name: "db" },
    serviceAccount: "default",
    address,
    ready,
    terminating: false,
    meshed: true,
    ports: [],
  });
  const service = (name: string, spec: object): string =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { clusterIP: "None", selector: { app: "db" }, ...spec },
    });
  const { objects, problems } = readManifest(
    [
      service("all", { publishNotReadyAddresses: true }),
      service("named", { ports: [{ port: 80, targetPort: "nobody" }] }),
      service("none", {}),
      service("numbered", { ports: [{ port: 80 }] }),
    ].join("\n---\n"),
    "all.yaml",
  );
  const snapshot = createSnapshot({
    objects: objects.map(({ object }) => object),
    pods: [pod("db-0", "10.64.1.1", true), pod("db-1", "10.64.1.2", false)],
    services: [],
    serviceRanges: [],
    problems,
  });
  const model = buildModel(snapshot, { trustDomain: "example.org", statisticsInterval: 1 });
  const first = { name: "db-0", address: "10.64.1.1" };
  const both = [first, { name: "db-1", address: "10.64.1.2" }];
  assert.deepEqual(
    namedServices(model).map(({ name, addresses, pods }) => [name, addresses, pods]),
    [
      ["all", both.map(({ address }) => address), both],
      ["named", [first.address], [first]],
      ["none", [first.address], [first]],
      ["numbered", [first.address], [first]],
    ],
  );
});
