/** What a cluster has beside Kubernetes' own programs: names (CoreDNS) and volumes. Pure. */
import { clusterDomain, registry, type Plan } from "./plan.ts";

const coreDnsImage = `${registry}/coredns:1.15.0`;
/** Volumes for each node; each is a folder of the node. */
export const volumesPerNode = 10;
export const volumeFolder = "/var/lib/volumes";

/** Objects as a List in JSON, for `kubectl apply`. */
export function addons(plan: Plan): string {
  const items = [...coreDns(plan), storageClass, ...plan.nodes.flatMap((node) => volumes(node.name))];
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}

const labels = { "k8s-app": "kube-dns" };
const inSystem = (name: string): object => ({ name, namespace: "kube-system", labels });

function coreDns(plan: Plan): readonly object[] {
  const subjects = [{ kind: "ServiceAccount", name: "coredns", namespace: "kube-system" }];
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "testbed-coredns" };
  const read = ["list", "watch"];
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: inSystem("coredns") },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "testbed-coredns" },
      rules: [
        { apiGroups: [""], resources: ["endpoints", "services", "pods", "namespaces"], verbs: read },
        { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: read },
      ],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "testbed-coredns" },
      roleRef,
      subjects,
    },
    { apiVersion: "v1", kind: "ConfigMap", metadata: inSystem("coredns"), data: { Corefile: corefile } },
    coreDnsDeployment(),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: inSystem("kube-dns"),
      spec: {
        selector: labels,
        clusterIP: plan.dns,
        ports: [
          { name: "dns", port: 53, protocol: "UDP" },
          { name: "dns-tcp", port: 53, protocol: "TCP" },
        ],
      },
    },
  ];
}

const corefile = `.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes ${clusterDomain} in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    cache 5
    reload
    loadbalance
}
`;

function coreDnsDeployment(): object {
  const container = {
    name: "coredns",
    image: coreDnsImage,
    imagePullPolicy: "Never",
    args: ["-conf", "/etc/coredns/Corefile"],
    volumeMounts: [{ name: "config", mountPath: "/etc/coredns", readOnly: true }],
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ["NET_BIND_SERVICE"], drop: ["ALL"] },
    },
    livenessProbe: { httpGet: { path: "/health", port: 8080 }, failureThreshold: 5 },
    readinessProbe: { httpGet: { path: "/ready", port: 8181 }, periodSeconds: 1 },
    resources: { requests: { cpu: "10m", memory: "32Mi" } },
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: inSystem("coredns"),
    spec: {
      // a node that is drained must not take the cluster's names with it
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: "coredns",
          priorityClassName: "system-cluster-critical",
          dnsPolicy: "Default",
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: "kubernetes.io/hostname",
              whenUnsatisfiable: "ScheduleAnyway",
              labelSelector: { matchLabels: labels },
            },
          ],
          containers: [container],
          volumes: [{ name: "config", configMap: { name: "coredns" } }],
        },
      },
    },
  };
}

const storageClass = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: {
    name: "standard",
    annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
  },
  provisioner: "kubernetes.io/no-provisioner",
  volumeBindingMode: "WaitForFirstConsumer",
};

/** Folders of the node as `local` volumes: unlike those of kind hostPath they get the group that a pod asks for. */
function volumes(node: string): readonly object[] {
  return Array.from({ length: volumesPerNode }, (_, at) => ({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: `${node}-${at}`, labels: { "testbed/volume": "true" } },
    spec: {
      capacity: { storage: "10Gi" },
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Retain",
      storageClassName: "standard",
      local: { path: `${volumeFolder}/${at}` },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }] },
          ],
        },
      },
    },
  }));
}
