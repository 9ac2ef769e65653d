/** The kernel's part: the node's bridge, and a namespace for each pod. Runs inside the node's own namespaces. */
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./commands.ts";
import { isCaptured, type AddressPlan } from "./addresses.ts";

const bridge = "mesh0";
/**
 * Locally administered. A bridge without an address of its own takes the lowest of its ports', which changes as pods come and
 * go; packets that others then send to the old one are lost for seconds.
 */
const bridgeAddress = "02:6e:67:78:00:01";
/** Number of the routing table of what needs no translation. */
const directTable = 100;

/**
 * The file in a pod's folder that is its network namespace. None of those that `ip netns` names: their folder is the host's, and
 * since Linux 3.18 who removes it takes what is mounted there from every mount namespace.
 */
export function namespacePath(folder: string): string {
  return join(folder, "network");
}

function batch(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

/**
 * Where br_netfilter is loaded, which Kubernetes on the same machine does at any time, its default has the kernel
 * translate addresses in the bridge, where a connection from a pod to itself ends.
 */
function keepFiltersOutOfBridge(): void {
  const setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  if (existsSync(setting)) {
    writeFileSync(setting, "0");
  }
}

/** The node: a bridge with the gateway's address, and the link to the host, whose other end the host has made. */
export async function setUpNode(plan: AddressPlan): Promise<void> {
  const lines = [
    "link set lo up",
    `link add ${bridge} address ${bridgeAddress} type bridge`,
    `addr add ${plan.gateway}/17 dev ${bridge}`,
    `addr add ${plan.translator}/32 dev ${bridge}`,
    `link set ${bridge} up`,
    `addr add ${plan.uplinkNode}/30 dev uplink`,
    "link set uplink up",
    `route add default via ${plan.uplinkHost}`,
  ];
  await run("ip", ["-batch", "-"], { input: batch(lines) });
  const settings = {
    ip_forward: "1",
    // pods reach each other through the node, though one bridge connects them: it must not tell them to go direct
    "conf/all/send_redirects": "0",
    [`conf/${bridge}/send_redirects`]: "0",
  };
  for (const [name, value] of Object.entries(settings)) {
    writeFileSync(`/proc/sys/net/ipv4/${name}`, value);
  }
  writeFileSync("/proc/sys/net/core/somaxconn", "4096");
  keepFiltersOutOfBridge();
}

export interface PodNetwork {
  readonly number: number;
  readonly address: string;
  /** Text for iptables-restore; undefined: nothing is captured. */
  readonly capture: string | undefined;
}

/**
 * Ports below 1024 need no privileges; IPv6 ends at the pod's loopback, as it would pass the capture by.
 * Arguments: the link's other end, which belongs to the node, process 1's network; a file of addresses; and whether capture rules
 * come from standard input.
 */
const insideScript = `
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
echo 4096 >/proc/sys/net/core/somaxconn
ip link add eth0 type veth peer name "$1" netns /proc/1/ns/net
[ ! -d /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
ip -batch "$2"
[ -z "$3" ] || exec iptables-restore --wait 10
`;

/**
 * The pod has its address alone, without a network around it: everything goes through the node, so that translations
 * of Service addresses see both directions of a connection. Only TCP between two captured pods, whose sidecars know the
 * endpoints themselves, goes straight over the bridge, without the node's routing and connection tracking.
 */
export async function setUpPod(plan: AddressPlan, pod: PodNetwork, folder: string): Promise<void> {
  keepFiltersOutOfBridge();
  const inside = [
    "link set lo up",
    `addr add ${pod.address}/32 dev eth0`,
    "link set eth0 up",
    `route add ${plan.gateway} dev eth0 scope link`,
    `route add default via ${plan.gateway}`,
  ];
  if (isCaptured(plan, pod.address)) {
    inside.push(
      `route add ${plan.capturedRange} dev eth0 scope link src ${pod.address} table ${directTable}`,
      `rule add ipproto tcp lookup ${directTable}`,
    );
  }
  const file = `${folder}/addresses`;
  writeFileSync(file, batch(inside));
  writeFileSync(namespacePath(folder), "");
  const link = `v${pod.number}`;
  const args = [`--net=${namespacePath(folder)}`, "sh", "-e", "-c", insideScript, "sh"];
  await run("unshare", [...args, link, file, pod.capture === undefined ? "" : "capture"], {
    input: pod.capture ?? "",
  });
  await run("ip", ["link", "set", link, "master", bridge, "up"]);
}

/** With the namespace its end of the link vanishes, and with that the node's. Also for one whose set-up has failed. */
export async function tearDownPod(folder: string): Promise<void> {
  const file = namespacePath(folder);
  const isMounted = existsSync(file) && statSync(file).dev !== statSync(folder).dev;
  if (isMounted) {
    await run("umount", ["--lazy", "--no-mtab", file]);
  }
  // containers of other pods have the mount too, which goes with the file
  rmSync(file, { force: true });
}
