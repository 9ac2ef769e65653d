/** The kernel's part: the node's bridge, and a namespace for each pod. Runs inside the node's own namespaces. */
import { run } from "./commands.ts";
import type { AddressPlan } from "./addresses.ts";

const bridge = "mesh0";

export function namespacePath(number: number): string {
  return `/run/netns/p${number}`;
}

/** The node: a bridge with the gateway's address, and the link to the host, whose other end the host has made. */
export async function setUpNode(plan: AddressPlan): Promise<void> {
  const lines = [
    "link set lo up",
    `link add ${bridge} type bridge`,
    `addr add ${plan.gateway}/17 dev ${bridge}`,
    `link set ${bridge} up`,
    `addr add ${plan.uplinkNode}/30 dev uplink`,
    "link set uplink up",
    `route add default via ${plan.uplinkHost}`,
  ];
  await run("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
  // the host's address lies within the pods' own range: the node answers for it, so that pods can answer the host
  const proxyArp = `net.ipv4.conf.${bridge}.proxy_arp=1`;
  await run("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1", "net.core.somaxconn=4096", proxyArp]);
}

export interface PodNetwork {
  readonly number: number;
  readonly address: string;
  /** Text for iptables-restore; undefined: nothing is captured. */
  readonly capture: string | undefined;
}

export async function setUpPod(plan: AddressPlan, pod: PodNetwork): Promise<void> {
  const name = `p${pod.number}`;
  const outside = [
    `netns add ${name}`,
    `link add v${pod.number} type veth peer name eth0 netns ${name}`,
    `link set v${pod.number} master ${bridge} up`,
  ];
  await run("ip", ["-batch", "-"], { input: `${outside.join("\n")}\n` });
  const inside = [
    "link set lo up",
    `addr add ${pod.address}/17 dev eth0`,
    "link set eth0 up",
    `route add default via ${plan.gateway}`,
  ];
  await run("ip", ["-n", name, "-batch", "-"], { input: `${inside.join("\n")}\n` });
  // one shell in the namespace: ports below 1024 without privileges, then the rules from standard input
  const script = `echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start; echo 4096 >/proc/sys/net/core/somaxconn; ${pod.capture === undefined ? "true" : "exec iptables-restore --wait 10"}`;
  await run("nsenter", [`--net=${namespacePath(pod.number)}`, "sh", "-c", script], {
    input: pod.capture ?? "",
  });
}

/** With the namespace its end of the link vanishes, and with that the node's. */
export async function tearDownPod(number: number): Promise<void> {
  await run("ip", ["netns", "delete", `p${number}`]);
}
