import assert from "node:assert/strict";
import { test } from "node:test";
import { parseObject } from "../../api/objects.ts";
import { createSnapshot, type RunningPod } from "../../cluster/snapshot.ts";
import { pullSecretNamespaces } from "./pull-secrets.ts";

function namespace(name: string, label?: string) {
  const labels = label === undefined ? {} : { "injector.nsm.nginx.com/auto-inject": label };
  const { object } = parseObject({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }, name);
  assert.ok(object !== undefined);
  return object;
}

function pod(of: string, meshed: boolean): RunningPod {
  return {
    namespace: of,
    name: `${of}-pod`,
    uid: of,
    labels: {},
    annotations: {},
    owner: { kind: "pod", name: `${of}-pod` },
    serviceAccount: "default",
    address: "",
    ready: false,
    terminating: false,
    meshed,
    ports: [],
  };
}

test("namespaces whose pods ask for sidecars or have them, but for those of Kubernetes and of the mesh", () => {
  const snapshot = createSnapshot({
    objects: [
      namespace("labelled", "enabled"),
      namespace("unlabelled"),
      namespace("left", "disabled"),
      namespace("kube-system", "enabled"),
      namespace("mesh", "enabled"),
    ],
    pods: [pod("left", true), pod("by-pod", true), pod("plain", false), pod("mesh", true)],
    services: [],
    serviceRanges: [],
    problems: [],
  });
  assert.deepEqual([...pullSecretNamespaces(snapshot, "mesh")].sort(), ["by-pod", "labelled", "left"]);
});
