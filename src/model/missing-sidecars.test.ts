import assert from "node:assert/strict";
import { test } from "node:test";
import { parseObject } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { createSnapshot, type RunningPod } from "../cluster/snapshot.ts";
import type { MeshSettings } from "./mesh.ts";
import { reportMissingSidecars } from "./missing-sidecars.ts";

const label = "injector.nsm.nginx.com/auto-inject";

function namespace(name: string, value: string): object {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { [label]: value } } };
}

function pod(more: Partial<RunningPod>): RunningPod {
  return {
    namespace: "meshed",
    name: "p",
    uid: "u",
    labels: {},
    annotations: {},
    owner: { kind: "deployment", name: "web" },
    serviceAccount: "default",
    address: "10.0.0.1",
    ready: true,
    terminating: false,
    meshed: false,
    ports: [],
    ...more,
  };
}

function problemsOf(one: RunningPod, mtlsMode: MeshSettings["mtlsMode"] = "permissive"): Problem[] {
  const objects = [
    namespace("meshed", "enabled"),
    namespace("mesh", "enabled"),
    namespace("off", "disabled"),
  ];
  const snapshot = createSnapshot({
    objects: objects.map((each) => parseObject(each, "test").object!),
    pods: [one],
    services: [],
    serviceRanges: [],
    problems: [],
  });
  const problems: Problem[] = [];
  const settings = { mtlsMode } as MeshSettings;
  const options = { trustDomain: "example.org", namespace: "mesh", statisticsInterval: 1 };
  reportMissingSidecars(snapshot, settings, options, (problem) => problems.push(problem));
  return problems;
}

const cases: readonly (readonly [string, Partial<RunningPod>, boolean])[] = [
  ["its namespace asks", {}, true],
  ["it has one", { meshed: true }, false],
  ["it does not want one", { labels: { [label]: "disabled" } }, false],
  ["it asks itself", { namespace: "off", labels: { [label]: "enabled" } }, true],
  ["nobody asks", { namespace: "off" }, false],
  ["a namespace that nobody knows", { namespace: "new" }, false],
  ["the mesh's own", { namespace: "mesh" }, false],
  ["the system's", { namespace: "kube-system", labels: { [label]: "enabled" } }, false],
  ["it goes anyway", { terminating: true }, false],
];
for (const [title, more, expected] of cases) {
  test(`a pod without a sidecar: ${title}`, () => {
    assert.deepEqual(
      problemsOf(pod(more)).map(({ reason, severity }) => `${severity} ${reason}`),
      expected ? ["warning NoSidecar"] : [],
    );
  });
}

test("in mode strict, of the mesh or of the pod, it is an error; the way out is that of its owner", () => {
  const annotations = { "config.nsm.nginx.com/mtls-mode": "strict" };
  for (const [problem] of [problemsOf(pod({}), "strict"), problemsOf(pod({ annotations }))]) {
    assert.equal(problem!.severity, "error");
    assert.match(
      problem!.message,
      /in spite of mode strict: "kubectl rollout restart deployment\/web -n meshed"/,
    );
  }
  const alone = problemsOf(pod({ owner: { kind: "pod", name: "p" } }));
  assert.match(alone[0]!.message, /make it anew/);
});
