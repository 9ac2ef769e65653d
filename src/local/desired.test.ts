import assert from "node:assert/strict";
import { test } from "node:test";
import { readManifest } from "../cluster/manifest.ts";
import { uniqueObjects } from "../cluster/snapshot.ts";
import { desiredPods } from "./desired.ts";

interface Template {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly spec?: object;
  readonly container?: object;
}

function workload(kind: string, more: object, template: Template = {}): object {
  const apiVersion = { Job: "batch/v1", ReplicationController: "v1" }[kind] ?? "apps/v1";
  const { labels = { app: "web" }, annotations = {} } = template;
  const containers = [{ name: "web", command: ["web"], ...template.container }];
  return {
    apiVersion,
    kind,
    metadata: { name: "web", namespace: "shop" },
    spec: {
      ...more,
      template: { metadata: { labels, annotations }, spec: { containers, ...template.spec } },
    },
  };
}

function desiredOf(...objects: readonly object[]) {
  const text = objects.map((object) => JSON.stringify(object)).join("\n---\n");
  const { objects: read, problems } = readManifest(text, "all.yaml");
  assert.deepEqual(problems, []);
  const contents = uniqueObjects(read);
  return desiredPods({ ...contents, files: 1, sources: new Map() });
}

test("names of pods by kind", () => {
  const names = (object: object): string[] => {
    const [group] = desiredOf(object).groups;
    return group?.pods.map((pod) => pod.name.replace(/[0-9a-f]{5}/, "HASH")) ?? [];
  };
  assert.deepEqual(names(workload("Deployment", { replicas: 2 })), ["web-HASH-0", "web-HASH-1"]);
  assert.deepEqual(names(workload("ReplicaSet", {})), ["web-HASH-0"]);
  assert.deepEqual(names(workload("ReplicationController", { selector: { app: "web" } })), ["web-HASH-0"]);
  assert.deepEqual(names(workload("StatefulSet", { replicas: 2, serviceName: "web" })), ["web-0", "web-1"]);
  assert.deepEqual(names(workload("DaemonSet", {})), ["web-HASH"]);
  assert.deepEqual(names(workload("Job", {})), ["web-HASH"]);
  assert.deepEqual(names(workload("Deployment", { replicas: 0 })), []);
});

test("an empty name of a service account is none", () => {
  const accountOf = (spec: object): string | undefined =>
    desiredOf(workload("Deployment", {}, { spec })).groups[0]?.pods[0]?.serviceAccount;
  assert.equal(accountOf({}), "default");
  assert.equal(accountOf({ serviceAccountName: "" }), "default");
  assert.equal(accountOf({ serviceAccountName: "", serviceAccount: "old" }), "old");
  assert.equal(accountOf({ serviceAccountName: "web", serviceAccount: "" }), "web");
});

test("who is meshed: the pod's label, then the namespace's, then everyone; the mesh's own namespace never", () => {
  const key = "injector.nsm.nginx.com/auto-inject";
  const namespace = (value: string): object => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop", labels: { [key]: value } },
  });
  const meshed = (...objects: readonly object[]): boolean | undefined =>
    desiredOf(...objects).groups[0]?.pods[0]?.meshed;
  const labelled = (value: string): object =>
    workload("Deployment", {}, { labels: { app: "web", [key]: value } });
  assert.equal(meshed(workload("Deployment", {})), true);
  assert.equal(meshed(namespace("disabled"), workload("Deployment", {})), false);
  assert.equal(meshed(namespace("disabled"), labelled("enabled")), true);
  assert.equal(meshed(namespace("enabled"), labelled("disabled")), false);
  const own = { ...labelled("enabled"), metadata: { name: "web", namespace: "nginx-mesh" } };
  assert.equal(meshed(own), false);
});

test("the revision changes with the template, not with replicas or the order of fields", () => {
  const revision = (object: object): string | undefined => desiredOf(object).groups[0]?.pods[0]?.revision;
  const first = revision(workload("Deployment", { replicas: 1 }));
  assert.equal(revision(workload("Deployment", { replicas: 3 })), first);
  assert.equal(revision(workload("Deployment", {}, { container: { command: ["web"], name: "web" } })), first);
  assert.notEqual(revision(workload("Deployment", {}, { container: { args: ["x"] } })), first);
  assert.notEqual(revision(workload("Deployment", {}, { annotations: { a: "b" } })), first);
});

test("what cannot be started is refused with its field and a reason, and has no pods", () => {
  const disabled = { app: "web", "injector.nsm.nginx.com/auto-inject": "disabled" };
  const twice = { ports: [{ containerPort: 80 }, { containerPort: 80 }] };
  const cases: readonly [string, object, RegExp][] = [
    ["no command", workload("Deployment", {}, { container: { command: [] } }), /command: .*no images/],
    ["host network", workload("Deployment", {}, { spec: { hostNetwork: true } }), /hostNetwork/],
    [
      "the sidecar's user",
      workload("Deployment", {}, { container: { securityContext: { runAsUser: 2102 } } }),
      /2102 is the sidecar's/,
    ],
    ["a port twice", workload("Deployment", {}, { container: twice }), /80\/TCP is there twice/],
    [
      "SCTP",
      workload("Deployment", {}, { container: { ports: [{ containerPort: 80, protocol: "SCTP" }] } }),
      /SCTP/,
    ],
    [
      "ports that are none",
      workload("Deployment", {}, { annotations: { "config.nsm.nginx.com/ignore-incoming-ports": "80,x" } }),
      /"x" is not a port/,
    ],
    [
      "a selector of others",
      workload("Deployment", { selector: { matchLabels: { app: "x" } } }),
      /spec\.selector/,
    ],
    ["a name that is none", workload("Deployment", {}, { container: { name: "../web" } }), /DNS-1123 label/],
    ["the sidecar's name", workload("Deployment", {}, { container: { name: "sidecar" } }), /the mesh's own/],
    [
      "a name twice",
      workload("Deployment", {}, { spec: { initContainers: [{ name: "web", command: ["x"] }] } }),
      /two containers/,
    ],
    [
      "all of a secret",
      workload("Deployment", {}, { container: { envFrom: [{ secretRef: { name: "a" } }] } }),
      /envFrom: .*configMapRef/,
    ],
    [
      "a secret",
      workload("Deployment", {}, { container: { env: [{ name: "A", valueFrom: { secretKeyRef: {} } }] } }),
      /env\["A"\]/,
    ],
  ];
  for (const [title, object, expected] of cases) {
    const { groups, problems } = desiredOf(object);
    assert.equal(problems.length, 1, title);
    assert.match(`${problems[0]?.field}: ${problems[0]?.message}`, expected, title);
    assert.deepEqual([groups[0]?.refused, groups[0]?.pods], [true, []], title);
  }
  const udp = { ports: [{ containerPort: 80 }, { containerPort: 80, protocol: "UDP" }] };
  assert.deepEqual(desiredOf(workload("Deployment", {}, { container: udp })).problems, []);
  const unmeshed = workload("Deployment", {}, { labels: disabled, container: twice });
  assert.deepEqual(
    desiredOf(unmeshed).problems,
    [],
    "a pod outside the mesh may do what it likes with ports",
  );
});

test("a ReplicationController's labels must be its pods' own; a CronJob is told not to run", () => {
  const other = desiredOf(workload("ReplicationController", { selector: { app: "other" } }));
  assert.deepEqual([other.groups[0]?.refused, other.problems[0]?.field], [true, "spec.selector"]);
  const cronJob = {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "nightly" },
    spec: { schedule: "0 3 * * *", jobTemplate: { spec: (workload("Job", {}) as { spec: object }).spec } },
  };
  const { groups, problems } = desiredOf(cronJob);
  assert.deepEqual(groups, []);
  assert.deepEqual(
    problems.map(({ object, field, severity }) => [object, field, severity]),
    [["CronJob default/nightly", "spec.schedule", "warning"]],
  );
});

test("an address of IPv6 for a Service is told not to be had", () => {
  const service = (clusterIP: string): object => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: { clusterIP, ports: [{ port: 80 }] },
  });
  for (const clusterIP of ["", "None", "10.64.200.1"]) {
    assert.deepEqual(desiredOf(service(clusterIP)).problems, [], clusterIP);
  }
  assert.deepEqual(
    desiredOf(service("fd00::10")).problems.map(({ object, field, severity }) => [object, field, severity]),
    [["Service default/web", "spec.clusterIP", "error"]],
  );
});
