/** Objects that the tests of the control plane write, as their owners in a cluster would. */

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

const plurals: Readonly<Record<string, string>> = {
  Namespace: "namespaces",
  Service: "services",
  ServiceAccount: "serviceaccounts",
  Pod: "pods",
  EndpointSlice: "endpointslices",
  Deployment: "deployments",
  TrafficSplit: "trafficsplits",
  HTTPRouteGroup: "httproutegroups",
  RateLimit: "ratelimits",
  MeshConfig: "meshconfigs",
  ClusterRole: "clusterroles",
  ClusterRoleBinding: "clusterrolebindings",
  CustomResourceDefinition: "customresourcedefinitions",
  MutatingWebhookConfiguration: "mutatingwebhookconfigurations",
  ValidatingWebhookConfiguration: "validatingwebhookconfigurations",
};

/** Path of all objects of its kind. */
export function folderOf({ apiVersion, kind, metadata }: KubeObject): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `${base}${within}/${plurals[kind]}`;
}

/** Namespace of the control plane. */
export const namespace = "mesh-a";

export const service: KubeObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec: { clusterIP: "10.96.0.9", selector: { app: "web" }, ports: [{ name: "http", port: 80 }] },
};

export function backend(name: string): KubeObject {
  return { ...service, metadata: { name, namespace: "shop" }, spec: { ports: [{ name: "http", port: 80 }] } };
}

export function pod(name: string, address: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: "web" } } as KubeObject["metadata"],
    spec: {
      serviceAccountName: "web",
      containers: [
        { name: "web", image: "web" },
        { name: "nginx-mesh-sidecar", image: "sidecar" },
      ],
    },
    status: {
      phase: "Running",
      podIP: address,
      podIPs: [{ ip: address }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

export function slice(pods: readonly KubeObject[]): KubeObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "web-1",
      namespace: "shop",
      labels: { "kubernetes.io/service-name": "web" },
    } as KubeObject["metadata"],
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: pods.map((each) => ({
      addresses: [(each["status"] as { podIP: string }).podIP],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: "Pod", name: each.metadata.name, namespace: "shop" },
    })),
  };
}

export function split(weight: number): KubeObject {
  return {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      service: "web",
      backends: [
        { service: "web-v1", weight },
        { service: "web-v2", weight: 100 },
      ],
    },
  };
}

export const meshConfig: KubeObject = {
  apiVersion: "nsm.nginx.com/v1alpha2",
  kind: "MeshConfig",
  metadata: { name: "nginx-mesh-config", namespace },
  spec: { meshConfigClassName: "mesh-a-meshconfig-class", mtls: { mode: "permissive" } },
};

export function webhookConfiguration(kind: string, name: string): KubeObject {
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind,
    metadata: { name },
    webhooks: [
      {
        name: "one.nsm.nginx.com",
        admissionReviewVersions: ["v1"],
        sideEffects: "None",
        failurePolicy: "Ignore",
        clientConfig: { service: { namespace, name: "nginx-mesh-webhook", path: "/inject" } },
        objectSelector: { matchLabels: { never: "there" } },
        rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }],
      },
    ],
  };
}

/** What the controller may do; tests take away from it. */
export function role(name: string, rules: readonly object[]): readonly KubeObject[] {
  const metadata = { name: `${namespace}-${name}` };
  return [
    { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata, rules },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata,
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: metadata.name },
      subjects: [{ kind: "ServiceAccount", name, namespace }],
    },
  ];
}

export const read = ["get", "list", "watch"];
export const rules = [
  { apiGroups: [""], resources: ["namespaces", "pods", "services"], verbs: read },
  { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: read },
  { apiGroups: ["networking.k8s.io"], resources: ["servicecidrs"], verbs: read },
  {
    apiGroups: ["apps"],
    resources: ["deployments", "statefulsets", "daemonsets", "replicasets"],
    verbs: read,
  },
  { apiGroups: ["batch"], resources: ["jobs"], verbs: read },
  {
    apiGroups: [
      "split.smi-spec.io",
      "access.smi-spec.io",
      "specs.smi-spec.io",
      "specs.smi.nginx.com",
      "nsm.nginx.com",
    ],
    resources: ["*"],
    verbs: [...read, "patch"],
  },
  { apiGroups: [""], resources: ["events", "secrets"], verbs: ["create", "get", "patch", "update"] },
  { apiGroups: [""], resources: ["configmaps"], verbs: ["get"] },
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create", "get", "update"] },
  {
    apiGroups: ["admissionregistration.k8s.io"],
    resources: ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
    verbs: ["get", "patch"],
  },
  { apiGroups: ["apiregistration.k8s.io"], resources: ["apiservices"], verbs: ["get", "patch"] },
];
