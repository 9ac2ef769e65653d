import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readEndpointSlice } from "./endpoint-slices.ts";
import { readObject } from "./objects.ts";
import { readPod } from "./pods.ts";
import { objectResources, type Resource } from "./resources.ts";
import { readServiceCidr } from "./service-cidrs.ts";

function resource(kind: string): Resource {
  return objectResources("mesh").find((each) => each.kind === kind)!;
}

/** As an API server sends it: without `kind`, with fields that no schema of ours knows. */
const service = {
  metadata: {
    name: "web",
    namespace: "shop",
    uid: "u1",
    resourceVersion: "17",
    managedFields: [{ manager: "kubectl" }],
    annotations: {
      "config.nsm.nginx.com/lb-method": "random",
      "kubectl.kubernetes.io/last-applied-configuration": "{}",
    },
  },
  spec: {
    clusterIP: "10.96.0.9",
    clusterIPs: ["10.96.0.9", "fd00::9"],
    ports: [{ name: "http", port: 80, targetPort: "web", protocol: "TCP", nodePort: 30080 }],
    selector: { app: "web" },
    somethingNew: { in: "a later Kubernetes" },
  },
  status: { loadBalancer: {} },
};

test("a Service is kept without what nothing reads, and new fields of Kubernetes are no problem", () => {
  const entry = readObject(resource("Service"), service);
  assert.deepEqual(entry?.problems, []);
  assert.deepEqual(entry?.value, {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "web",
      namespace: "shop",
      uid: "u1",
      annotations: { "config.nsm.nginx.com/lb-method": "random" },
    },
    spec: {
      clusterIP: "10.96.0.9",
      clusterIPs: ["10.96.0.9", "fd00::9"],
      ports: [{ name: "http", port: 80, targetPort: "web", protocol: "TCP" }],
      selector: { app: "web" },
    },
  });
});

test("a Deployment is kept as its template's labels, annotations, account and ports", () => {
  const entry = readObject(resource("Deployment"), {
    metadata: { name: "web", namespace: "shop", uid: "u2", labels: { a: "b" } },
    spec: {
      replicas: 20_000,
      template: {
        metadata: {
          creationTimestamp: null,
          labels: { app: "web" },
          annotations: { "config.nsm.nginx.com/mtls-mode": "strict", other: "x" },
        },
        spec: {
          serviceAccountName: "web",
          serviceAccount: "web",
          containers: [
            {
              name: "web",
              image: "web:1",
              env: [{ name: "A", value: "b" }],
              ports: [{ name: "http", containerPort: 8080, protocol: "TCP", hostPort: 80 }],
              readinessProbe: { httpGet: { path: "/", port: 8080 } },
            },
          ],
        },
      },
    },
    status: { readyReplicas: 1 },
  });
  assert.deepEqual(entry?.problems, []);
  assert.deepEqual((entry?.value as { spec: unknown } | undefined)?.spec, {
    template: {
      metadata: {
        labels: { app: "web" },
        annotations: { "config.nsm.nginx.com/mtls-mode": "strict" },
      },
      spec: {
        serviceAccountName: "web",
        containers: [{ name: "web", ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }] }],
      },
    },
  });
});

const template = { spec: { containers: [{ name: "a" }] } };

test("a ReplicaSet counts only when no Deployment has it, a Job only until it is over", () => {
  const metadata = { name: "web-5f", namespace: "shop", uid: "u3" };
  const owned = { ...metadata, ownerReferences: [{ kind: "Deployment", name: "web", controller: true }] };
  const spec = { template };
  assert.equal(readObject(resource("ReplicaSet"), { metadata: owned, spec }), undefined);
  assert.notEqual(readObject(resource("ReplicaSet"), { metadata, spec }), undefined);
  const status = (type: string, state: string) => ({ conditions: [{ type, status: state }] });
  assert.equal(
    readObject(resource("Job"), { metadata, spec, status: status("Complete", "True") }),
    undefined,
  );
  assert.notEqual(
    readObject(resource("Job"), { metadata, spec, status: status("Suspended", "True") }),
    undefined,
  );
  assert.notEqual(readObject(resource("Job"), { metadata, spec, status: { conditions: null } }), undefined);
});

test("an object of ours that does not fit its schema is a problem that names field and object", () => {
  const entry = readObject(resource("TrafficSplit"), {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: "web", namespace: "shop", uid: "u4", generation: 3 },
    spec: { service: "web", backends: [{ service: "web-1", weight: -1 }], newer: true },
    status: { conditions: [] },
  });
  assert.equal(entry?.value, undefined);
  assert.deepEqual(
    entry?.problems.map(({ object, field, reason }) => [object, field, reason]),
    [
      ["TrafficSplit shop/web", "spec.backends[0].weight", "InvalidValue"],
      ["TrafficSplit shop/web", "spec.newer", "UnknownField"],
    ],
  );
  assert.equal(entry?.reference.generation, 3);
});

test("a RateLimit is read in the version that the server sends", () => {
  for (const version of ["v1alpha1", "v1alpha2"]) {
    const entry = readObject(resource("RateLimit"), {
      apiVersion: `specs.smi.nginx.com/${version}`,
      kind: "RateLimit",
      metadata: { name: "limit", namespace: "shop", uid: "u5" },
      spec: { destination: { kind: "Service", name: "web" }, name: "limit", rate: "10r/s" },
    });
    assert.deepEqual(entry?.problems, []);
    assert.equal(entry?.value?.apiVersion, `specs.smi.nginx.com/${version}`);
  }
});

const pod = {
  metadata: {
    name: "web-5f-x",
    namespace: "shop",
    uid: "p1",
    labels: { app: "web", "pod-template-hash": "5f" },
    annotations: { "injector.nsm.nginx.com/capture-rules-ipv4": "*nat" },
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-5f", controller: true }],
  },
  spec: {
    serviceAccountName: "web",
    containers: [{ name: "web", ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }] }],
    initContainers: [
      { name: "nginx-mesh-init" },
      {
        name: "nginx-mesh-sidecar",
        restartPolicy: "Always",
        env: [{ name: "MESH_WORKLOAD", value: "deployment/web" }],
        ports: [{ name: "mesh-metrics", containerPort: 8887, protocol: "TCP" }],
      },
      { name: "cache", restartPolicy: "Always", ports: [{ containerPort: 6379 }] },
      { name: "once", ports: [{ containerPort: 1 }] },
    ],
  },
  status: {
    phase: "Running",
    podIP: "10.244.1.5",
    podIPs: [{ ip: "10.244.1.5" }, { ip: "fd00::5" }],
    conditions: [{ type: "Ready", status: "True" }],
  },
};

test("an injected pod: both addresses, its workload, its own ports and not the sidecar's", () => {
  assert.deepEqual(readPod(pod)?.value, {
    namespace: "shop",
    name: "web-5f-x",
    uid: "p1",
    labels: { app: "web", "pod-template-hash": "5f" },
    annotations: {},
    owner: { kind: "deployment", name: "web" },
    serviceAccount: "web",
    address: "10.244.1.5",
    otherAddresses: ["fd00::5"],
    ready: true,
    terminating: false,
    meshed: true,
    ports: [
      { name: "http", containerPort: 8080, protocol: "TCP" },
      { containerPort: 6379, protocol: "TCP" },
    ],
  });
});

type Pod = typeof pod;
/** Change of the pod → what must be different. */
const podCases: readonly [string, (from: Pod) => unknown, Readonly<Record<string, unknown>>][] = [
  [
    "without a sidecar, whatever its labels say",
    (from) => ({ ...from, spec: { ...from.spec, initContainers: [] } }),
    { meshed: false, ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }] },
  ],
  [
    "a sidecar of the classic order",
    (from) => ({
      ...from,
      spec: { containers: [...from.spec.containers, { name: "nginx-mesh-sidecar" }] },
    }),
    { meshed: true, serviceAccount: "default" },
  ],
  [
    "a workload that only its owner tells",
    (from) => ({
      ...from,
      spec: {
        containers: [
          { name: "nginx-mesh-sidecar", env: [{ name: "MESH_WORKLOAD", value: "job/$(MESH_JOB_NAME)" }] },
        ],
      },
      metadata: {
        ...from.metadata,
        labels: {},
        ownerReferences: [{ kind: "Job", name: "once", controller: true }],
      },
    }),
    { owner: { kind: "job", name: "once" } },
  ],
  [
    "nobody's pod",
    (from) => ({
      ...from,
      metadata: { ...from.metadata, ownerReferences: undefined },
      spec: { containers: [] },
    }),
    { owner: { kind: "pod", name: "web-5f-x" } },
  ],
  [
    "on its way out",
    (from) => ({ ...from, metadata: { ...from.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } }),
    { terminating: true },
  ],
  [
    "not ready, and without an address",
    (from) => ({ ...from, status: { phase: "Pending" } }),
    { ready: false, address: "" },
  ],
  [
    "in its node's network",
    (from) => ({ ...from, spec: { ...from.spec, hostNetwork: true } }),
    { hostNetwork: true },
  ],
];

for (const [name, change, expected] of podCases) {
  test(`a pod: ${name}`, () => {
    const entry = readPod(change(pod));
    assert.deepEqual(entry?.problems, []);
    for (const [field, value] of Object.entries(expected)) {
      assert.deepEqual(entry?.value?.[field as keyof typeof entry.value], value, field);
    }
  });
}

test("a pod that is over does not count, as another may have its address", () => {
  for (const phase of ["Succeeded", "Failed"]) {
    assert.equal(readPod({ ...pod, status: { ...pod.status, phase } }), undefined);
  }
});

const slice = {
  addressType: "IPv4",
  metadata: {
    name: "web-abc",
    namespace: "shop",
    uid: "s1",
    labels: { "kubernetes.io/service-name": "web" },
  },
  ports: [{ name: "http", port: 8080, protocol: "TCP" }, { port: null }],
  endpoints: [
    { addresses: ["10.244.1.5"], conditions: {}, targetRef: { kind: "Pod", name: "a", namespace: "shop" } },
    { addresses: ["10.244.1.6"], conditions: { ready: false, serving: true, terminating: true } },
    { addresses: ["10.244.1.7"], conditions: { ready: false } },
    { addresses: [] },
  ],
};

test("an EndpointSlice: conditions that are not written have their defaults", () => {
  assert.deepEqual(readEndpointSlice(slice)?.value, {
    namespace: "shop",
    name: "web-abc",
    service: "web",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: [
      { address: "10.244.1.5", ready: true, serving: true, terminating: false, pod: "shop/a" },
      { address: "10.244.1.6", ready: false, serving: true, terminating: true, pod: "" },
      { address: "10.244.1.7", ready: false, serving: false, terminating: false, pod: "" },
    ],
  });
});

test("an EndpointSlice of names, or of no Service, does not count", () => {
  assert.equal(readEndpointSlice({ ...slice, addressType: "FQDN" }), undefined);
  assert.equal(readEndpointSlice({ ...slice, metadata: { ...slice.metadata, labels: {} } }), undefined);
  assert.equal(readEndpointSlice({ ...slice, ports: null, endpoints: null })?.value?.endpoints.length, 0);
});

test("what is no address is a problem and not an endpoint", () => {
  const entry = readEndpointSlice({ ...slice, endpoints: [{ addresses: ["no address"] }] });
  assert.equal(entry?.value, undefined);
  assert.equal(entry?.problems[0]?.object, "EndpointSlice shop/web-abc");
  assert.equal(readServiceCidr({ metadata: { name: "x" }, spec: { cidrs: ["10.0.0.0"] } }).value, undefined);
});
