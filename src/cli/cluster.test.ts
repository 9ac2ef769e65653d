import assert from "node:assert/strict";
import { test } from "node:test";

import { clusterParts, countsOf, visibleParts } from "./cluster-status.ts";
import { crdStep, isForeign, parseCrds } from "./crds.ts";
import { type KubeClient, KubeError } from "./kube-client.ts";
import { objectSchema, type Pod, podSchema, type Workload, workloadSchema } from "./kube-objects.ts";
import { isReady, podTrouble } from "./pod-trouble.ts";
import { belongsTo, pathOf } from "./release-objects.ts";
import { releaseOf } from "./release.ts";
import { remainsText, restartsOf } from "./remove-text.ts";
import { missing } from "./rollout.ts";
import { logFiles, objectFiles, shortName } from "./supportpkg-parts.ts";
import { sidecarVersions } from "./version.ts";

function pod(status: object, more: { metadata?: object; spec?: object } = {}): Pod {
  return podSchema.parse({
    metadata: { name: "web-1", namespace: "shop", ...more.metadata },
    spec: { containers: [{ name: "web", image: "web:1" }], ...more.spec },
    status,
  });
}

const ready = { conditions: [{ type: "Ready", status: "True" }] };
const waiting = (reason: string, message?: string, more: object = {}): object => ({
  containerStatuses: [{ name: "web", state: { waiting: { reason, message } }, ...more }],
});

const troubles: readonly (readonly [Pod, string])[] = [
  [pod(ready), ""],
  [pod(ready, { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } }), "it is being deleted"],
  [
    pod({
      conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/2 nodes" }],
    }),
    "no node takes it: Unschedulable: 0/2 nodes",
  ],
  [pod(waiting("ImagePullBackOff", "no web:1")), "container web: ImagePullBackOff: no web:1"],
  [
    pod(
      waiting("CrashLoopBackOff", undefined, {
        restartCount: 3,
        lastState: { terminated: { reason: "Error", exitCode: 2 } },
      }),
    ),
    "container web: CrashLoopBackOff (it ended 3 times, last with Error: status 2)",
  ],
  [
    pod({
      initContainerStatuses: [
        { name: "nginx-mesh-init", state: { terminated: { exitCode: 1, reason: "Error" } } },
      ],
      ...waiting("PodInitializing"),
    }),
    "container nginx-mesh-init ended with Error: status 1",
  ],
  [
    pod({ phase: "Running", containerStatuses: [{ name: "web", ready: false, state: { running: {} } }] }),
    "running, but not ready: web",
  ],
  [pod({ phase: "Pending" }), "it is in phase Pending"],
  [pod({}), "it is in phase unknown"],
];

test("why a pod is not ready", () => {
  for (const [one, expected] of troubles) {
    assert.equal(podTrouble(one), expected);
    assert.equal(isReady(one), expected === "");
  }
});

function workload(spec: object, status: object, metadata: object = {}): Workload {
  return workloadSchema.parse({
    metadata: { name: "c", namespace: "m", generation: 2, ...metadata },
    spec: { selector: { matchLabels: {} }, ...spec },
    status,
  });
}

test("how many pods of a workload are ready: those of its newest form", () => {
  const cases: readonly (readonly [Workload, number, number])[] = [
    [workload({ replicas: 2 }, { observedGeneration: 2, readyReplicas: 2, updatedReplicas: 2 }), 2, 2],
    [workload({ replicas: 2 }, { observedGeneration: 2, readyReplicas: 2, updatedReplicas: 1 }), 1, 2],
    [workload({ replicas: 2 }, { observedGeneration: 1, readyReplicas: 2, updatedReplicas: 2 }), 0, 2],
    [workload({}, {}), 0, 1],
    [
      workload(
        {},
        { observedGeneration: 2, desiredNumberScheduled: 3, numberReady: 3, updatedNumberScheduled: 2 },
      ),
      2,
      3,
    ],
    // on no node yet, as it was not seen
    [workload({}, { desiredNumberScheduled: 0, numberReady: 0, updatedNumberScheduled: 0 }), 0, 1],
  ];
  for (const [one, expected, wanted] of cases) {
    assert.deepEqual(countsOf(one), { ready: expected, wanted });
  }
});

test("parts that a user may not list are told", async () => {
  const spec = { replicas: 1, selector: { matchLabels: {} } };
  const status = { readyReplicas: 1, updatedReplicas: 1 };
  const json: KubeClient["json"] = async ({ path }) => {
    if (path.endsWith("/statefulsets")) {
      throw new KubeError("may not list statefulsets", 403);
    }
    return { items: path.endsWith("/deployments") ? [{ metadata: { name: "c" }, spec, status }] : [] };
  };
  const client = { json } as unknown as KubeClient;
  assert.deepEqual(await visibleParts(client, "m"), {
    parts: [{ name: "Deployment c", ready: 1, wanted: 1, troubles: [] }],
    unseen: ["may not list statefulsets"],
  });
  await assert.rejects(clusterParts(client, "m"), { name: "CommandError" });
});

test("what a rollout waits for", () => {
  const parts = [
    { name: "Deployment a", ready: 1, wanted: 1, troubles: [] },
    { name: "Deployment b", ready: 0, wanted: 2, troubles: ["pod b-1: x", "pod b-2: y"] },
  ];
  assert.equal(missing(parts), "  Deployment b: 0 of 2 pods are ready\n    pod b-1: x\n    pod b-2: y");
});

test("the release that a controller is of", () => {
  const annotations = { "meta.helm.sh/release-name": "other" };
  assert.equal(releaseOf(undefined), "nginx-mesh");
  assert.equal(releaseOf(workload({}, {}, { annotations })), "other");
  assert.throws(() => releaseOf(workload({}, {})), /was not installed by Helm/);
});

test("the objects of a release", () => {
  const release = { name: "nginx-mesh", namespace: "m" };
  const mine = { "meta.helm.sh/release-name": "nginx-mesh", "meta.helm.sh/release-namespace": "m" };
  const cases: readonly (readonly [object, boolean])[] = [
    [mine, true],
    [{ ...mine, "meta.helm.sh/release-namespace": "n" }, false],
    [{ ...mine, "meta.helm.sh/release-name": "x" }, false],
    [{ ...mine, "helm.sh/resource-policy": "keep" }, false],
    [{}, false],
  ];
  for (const [annotations, expected] of cases) {
    const object = objectSchema.parse({ metadata: { name: "o", annotations } });
    assert.equal(belongsTo(object, release), expected);
  }
  const kind = { version: "apps/v1", name: "deployments", kind: "Deployment", namespaced: true };
  assert.equal(pathOf(kind, "m", "c"), "/apis/apps/v1/namespaces/m/deployments/c");
  assert.equal(pathOf(kind), "/apis/apps/v1/deployments");
  assert.equal(pathOf({ ...kind, version: "v1", name: "nodes", namespaced: false }, "m"), "/api/v1/nodes");
});

const crd = (...versions: readonly string[]): ReturnType<typeof parseCrds>[number] => {
  const spec = {
    group: "g",
    names: { plural: "ks" },
    versions: versions.map((name) => ({ name, served: true })),
  };
  const [one] = parseCrds(JSON.stringify([{ metadata: { name: "k" }, spec }]));
  assert.ok(one);
  return one;
};

test("kinds are brought up to date, and newer ones stay", () => {
  assert.deepEqual(crdStep(crd("v1"), undefined), { apply: true, newer: [] });
  assert.deepEqual(crdStep(crd("v1"), crd("v1")), { apply: true, newer: [] });
  assert.deepEqual(crdStep(crd("v1", "v2"), crd("v1")), { apply: true, newer: [] });
  assert.deepEqual(crdStep(crd("v1"), crd("v1", "v2")), { apply: false, newer: ["v2"] });
  assert.deepEqual(crdStep(crd("v2"), crd("v1")), { apply: true, newer: ["v1"] });
  assert.throws(() => parseCrds("[{}]"), { name: "CommandError" });
});

test("a definition that another SPIRE has brought", () => {
  const labels = { "app.kubernetes.io/part-of": "nginx-mesh" };
  const cases: readonly (readonly [string, object, boolean])[] = [
    ["spire.spiffe.io", {}, true],
    ["spire.spiffe.io", { managedFields: [{ manager: "helm" }] }, true],
    ["spire.spiffe.io", { labels }, false],
    ["spire.spiffe.io", { managedFields: [{ manager: "helm" }, { manager: "nginx-meshctl" }] }, false],
    ["specs.smi-spec.io", {}, false],
  ];
  for (const [group, metadata, expected] of cases) {
    const spec = { group, names: { plural: "ks" }, versions: [] };
    const [one] = parseCrds(JSON.stringify([{ metadata: { name: "k", ...metadata }, spec }]));
    assert.ok(one);
    assert.equal(isForeign(one), expected);
  }
});

test("what is left to do after a removal", () => {
  const owned = pod(ready, { metadata: { labels: { "nsm.nginx.com/deployment": "web" } } });
  const pods = [owned, { ...owned, metadata: { ...owned.metadata, name: "web-2" } }, pod(ready)];
  assert.deepEqual(restartsOf(pods), [
    "kubectl -n shop delete pod web-1   # and make it anew, where nothing does so",
    "kubectl -n shop rollout restart deployment web",
  ]);
  const labels = { "injector.nsm.nginx.com/auto-inject": "enabled" };
  const namespaces = [objectSchema.parse({ metadata: { name: "shop", labels } })];
  const text = remainsText({
    pods,
    namespaces,
    namespace: "m",
    claims: ["spire-server-0"],
    credentials: ["shop"],
  });
  for (const expected of [
    "kubectl label namespace shop injector.nsm.nginx.com/auto-inject-",
    "rollout restart deployment web",
    "kubectl delete crd trafficsplits.split.smi-spec.io",
    "kubectl -n m delete pvc spire-server-0",
    "kubectl -n shop delete secret nginx-mesh-registry-key",
    "The namespace m was not made by this tool",
  ]) {
    assert.ok(text.includes(expected), expected);
  }
  const bare = remainsText({ pods: [], namespaces: [], namespace: undefined, claims: [], credentials: [] });
  assert.match(bare, /^The kinds of the mesh[^\n]*\n[^\n]*\n$/);
});

test("versions of sidecars, from their images", () => {
  const withImage = (image: string): Pod =>
    pod(ready, { spec: { initContainers: [{ name: "nginx-mesh-sidecar", image }] } });
  const images = ["r:5000/x/s:0.1.0", "s:0.2.0", "s:0.1.0", "r:5000/s@sha256:ab", "r:5000/s"];
  assert.deepEqual(sidecarVersions(images.map(withImage)), ["0.1.0", "0.2.0", "sha256:ab", "unknown"]);
});

test("files of a support package", () => {
  const files = objectFiles("m", "/api/v1/pods");
  assert.ok(files.every(({ path }) => !/secrets/.test(path)));
  assert.equal(new Set(files.map(({ file }) => file)).size, files.length);
  const meshed = pod(
    { containerStatuses: [{ name: "nginx-mesh-sidecar", restartCount: 1 }] },
    { spec: { containers: [{ name: "web" }, { name: "nginx-mesh-sidecar" }] } },
  );
  assert.deepEqual(
    logFiles([pod({})], [meshed]).map(({ file }) => file),
    [
      "logs/shop/web-1.web.log",
      "logs/shop/web-1.nginx-mesh-sidecar.log",
      "logs/shop/web-1.nginx-mesh-sidecar.before.log",
    ],
  );
  const long = "x".repeat(253);
  assert.equal(shortName(long).length, 89);
  assert.notEqual(shortName(long), shortName(`${long.slice(1)}y`));
  assert.equal(shortName("short"), "short");
});
