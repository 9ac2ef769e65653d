/** What a node's programs read: containerd's, the kubelet's and kube-proxy's configuration, and the network of pods. Pure. */
import { clusterDomain, registry, type Layout, type NodePlan, type Plan } from "./plan.ts";
import { inside, kubeconfigPath } from "./parts.ts";

export type ProxyMode = "iptables" | "nftables";

/** The image that holds a pod's namespaces; built with the other images of the bed. */
export const pauseImage = `${registry}/pause:1`;

/** Names and contents of the files of a node's folder. */
export function nodeFiles(
  plan: Plan,
  node: NodePlan,
  layout: Layout,
  proxyMode: ProxyMode,
): Readonly<Record<string, string>> {
  const json = (value: object): string => `${JSON.stringify(value, undefined, 2)}\n`;
  return {
    "containerd.toml": containerdConfiguration(node),
    "kubelet.json": json(kubeletConfiguration(plan, node, layout)),
    "kube-proxy.json": json(proxyConfiguration(plan, node, proxyMode)),
    "cni/10-testbed.conflist": json(podNetwork(node)),
    // names outside of the cluster are nobody's here
    "resolv.conf": "nameserver 127.0.0.1\n",
  };
}

function containerdConfiguration(node: NodePlan): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "${pauseImage}"

[plugins.'io.containerd.cri.v1.runtime']
  # without CAP_SYS_RESOURCE a score below that of containerd itself cannot be given
  restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "${inside.node(node.name)}/cni"

[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "/usr/sbin/runc"
  SystemdCgroup = false
`;
}

function kubeletConfiguration(plan: Plan, node: NodePlan, layout: Layout): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${inside.certificates}/ca.crt` },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: `${inside.certificates}/${node.name}.crt`,
    tlsPrivateKeyFile: `${inside.certificates}/${node.name}.key`,
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    cgroupDriver: "cgroupfs",
    // a tree of its own: each kubelet removes what it does not know below its root
    cgroupRoot: `${layout.cgroup}/${node.name}`,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    clusterDNS: [plan.dns],
    clusterDomain,
    resolvConf: `${inside.node(node.name)}/resolv.conf`,
    // the disk is the machine's; images are not fetched again once they are gone
    imageGCHighThresholdPercent: 100,
    evictionHard: { "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%" },
    maxPods: 250,
    registryPullQPS: 0,
  };
}

function proxyConfiguration(plan: Plan, node: NodePlan, mode: ProxyMode): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode,
    clientConnection: { kubeconfig: kubeconfigPath("kube-proxy") },
    hostnameOverride: node.name,
    clusterCIDR: `${plan.podRange},${plan.podRange6}`,
    // these limits are the whole machine's; a network namespace cannot set them
    conntrack: { maxPerCore: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
    oomScoreAdj: 0,
  };
}

/** Each pod has a link of its own to the node, which routes: nothing depends on how the kernel filters bridges. */
function podNetwork(node: NodePlan): object {
  return {
    cniVersion: "1.0.0",
    name: "testbed",
    plugins: [
      {
        type: "ptp",
        mtu: 1500,
        ipMasq: false,
        ipam: {
          type: "host-local",
          dataDir: "/run/cni-addresses",
          ranges: [[{ subnet: node.podRange }], [{ subnet: node.podRange6 }]],
          routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

/** A kubeconfig whose files lie in `certificates`. */
export function kubeconfig(plan: Plan, certificates: string, user: string): string {
  return `${JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "testbed",
          cluster: {
            server: `https://${plan.plane}:6443`,
            "certificate-authority": `${certificates}/ca.crt`,
          },
        },
      ],
      users: [
        {
          name: user,
          user: {
            "client-certificate": `${certificates}/${user}.crt`,
            "client-key": `${certificates}/${user}.key`,
          },
        },
      ],
      contexts: [{ name: "testbed", context: { cluster: "testbed", user } }],
      "current-context": "testbed",
    },
    undefined,
    2,
  )}\n`;
}
