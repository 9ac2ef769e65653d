/** What runs where, with which arguments. Pure. Paths are those inside the bed, where its state folder is mounted at `inside`. */
import { clusterDomain, layoutOf, type NodePlan, type Plan } from "./plan.ts";

/** Where the state folder is mounted in the bed's namespaces. */
export const inside = layoutOf("/mnt");

/** A program that runs as long as the bed does. */
export interface Part {
  /** Unique; its log is logs/NAME.log. */
  readonly name: string;
  /** Undefined: beside the nodes, in the namespaces of the control plane. */
  readonly node?: NodePlan;
  /** Name of the program. */
  readonly program: string;
  readonly args: readonly string[];
}

const certificate = (name: string): string => `${inside.certificates}/${name}.crt`;
const key = (name: string): string => `${inside.certificates}/${name}.key`;

/** Kubeconfig of a part; that of the person at the machine is `admin` with the host's paths. */
export function kubeconfigPath(user: string): string {
  return `${inside.certificates}/${user}.kubeconfig`;
}

/** The options that two of the three ask for the same things. */
const serviceRanges = (plan: Plan): string => `${plan.serviceRange},${plan.serviceRange6}`;

export function etcd(): Part {
  return {
    name: "etcd",
    program: "etcd",
    args: [
      `--data-dir=${inside.state}/etcd`,
      "--listen-client-urls=http://127.0.0.1:2379",
      "--advertise-client-urls=http://127.0.0.1:2379",
      "--listen-peer-urls=http://127.0.0.1:2380",
      // a bed that loses power is made anew
      "--unsafe-no-fsync",
      "--log-level=warn",
    ],
  };
}

export function apiServer(plan: Plan): Part {
  return {
    name: "kube-apiserver",
    program: "kube-apiserver",
    args: [
      "--etcd-servers=http://127.0.0.1:2379",
      "--bind-address=0.0.0.0",
      "--secure-port=6443",
      `--advertise-address=${plan.plane}`,
      `--tls-cert-file=${certificate("kube-apiserver")}`,
      `--tls-private-key-file=${key("kube-apiserver")}`,
      `--client-ca-file=${certificate("ca")}`,
      `--kubelet-certificate-authority=${certificate("ca")}`,
      `--kubelet-client-certificate=${certificate("kubelet-client")}`,
      `--kubelet-client-key=${key("kubelet-client")}`,
      "--kubelet-preferred-address-types=InternalIP",
      `--service-account-issuer=https://kubernetes.default.svc.${clusterDomain}`,
      `--service-account-key-file=${inside.certificates}/service-accounts.pub`,
      `--service-account-signing-key-file=${key("service-accounts")}`,
      `--service-cluster-ip-range=${serviceRanges(plan)}`,
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      "--allow-privileged=true",
      // webhooks and aggregated APIs are called at their pods' addresses: no kube-proxy runs beside this server
      "--enable-aggregator-routing=true",
      `--requestheader-client-ca-file=${certificate("front-proxy-ca")}`,
      "--requestheader-allowed-names=front-proxy",
      "--requestheader-extra-headers-prefix=X-Remote-Extra-",
      "--requestheader-group-headers=X-Remote-Group",
      "--requestheader-username-headers=X-Remote-User",
      `--proxy-client-cert-file=${certificate("front-proxy")}`,
      `--proxy-client-key-file=${key("front-proxy")}`,
    ],
  };
}

/** Arguments of a client of the API server of which there is one. */
function alone(user: string): readonly string[] {
  const kubeconfig = kubeconfigPath(user);
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    "--bind-address=127.0.0.1",
    "--leader-elect=false",
  ];
}

export function controllerManager(plan: Plan): Part {
  return {
    name: "kube-controller-manager",
    program: "kube-controller-manager",
    args: [
      ...alone("kube-controller-manager"),
      "--use-service-account-credentials=true",
      `--service-account-private-key-file=${key("service-accounts")}`,
      `--root-ca-file=${certificate("ca")}`,
      `--cluster-signing-cert-file=${certificate("ca")}`,
      `--cluster-signing-key-file=${key("ca")}`,
      `--service-cluster-ip-range=${serviceRanges(plan)}`,
    ],
  };
}

export function scheduler(): Part {
  return {
    name: "kube-scheduler",
    program: "kube-scheduler",
    args: alone("kube-scheduler"),
  };
}

export function containerd(node: NodePlan): Part {
  const config = `${inside.node(node.name)}/containerd.toml`;
  return { name: `containerd-${node.name}`, node, program: "containerd", args: ["--config", config] };
}

export function kubelet(node: NodePlan): Part {
  return {
    name: `kubelet-${node.name}`,
    node,
    program: "kubelet",
    args: [
      `--config=${inside.node(node.name)}/kubelet.json`,
      `--kubeconfig=${kubeconfigPath(node.name)}`,
      `--hostname-override=${node.name}`,
      `--node-ip=${node.address},${node.address6}`,
    ],
  };
}

export function kubeProxy(node: NodePlan): Part {
  const config = `${inside.node(node.name)}/kube-proxy.json`;
  return { name: `kube-proxy-${node.name}`, node, program: "kube-proxy", args: [`--config=${config}`] };
}

export function planeParts(plan: Plan): readonly Part[] {
  return [etcd(), apiServer(plan), controllerManager(plan), scheduler()];
}

export function nodeParts(plan: Plan): readonly Part[] {
  return plan.nodes.flatMap((node) => [containerd(node), kubelet(node), kubeProxy(node)]);
}
