/**
 * Pods for the systems that have no mesh: network namespaces on a bridge, which is in a namespace of its own, as in local
 * mode. Addresses are fixed (bench/native names them); several benchmarks at once do not see each other.
 */
import { readdirSync, existsSync } from "node:fs";
import { runNow } from "./commands.ts";

export interface Pod {
  readonly name: string;
  readonly address: string;
  /** What a command line begins with to run in the pod's network namespace, in a mount namespace of its own. */
  readonly enter: readonly string[];
}

export interface Network {
  readonly client: Pod;
  readonly servers: readonly Pod[];
  remove(): void;
}

const prefix = "nginx-mesh-bench";
const gateway = "10.90.0.1";

/** Makes the namespaces. Throws CommandError, having removed what it had made. */
export function createNetwork(name: string): Network {
  removeRemains();
  const node = `${prefix}-${process.pid}-${name}`;
  const pod = (suffix: string, address: string): Pod => {
    const namespace = `${node}-${suffix}`;
    return { name: namespace, address, enter: ["ip", "netns", "exec", namespace] };
  };
  const client = pod("c", "10.90.0.11");
  const servers = [pod("s1", "10.90.0.21"), pod("s2", "10.90.0.22")];
  const remove = (): void => {
    process.off("exit", remove);
    removeNamespaces((namespace) => namespace.startsWith(node));
  };
  process.on("exit", remove);
  try {
    for (const namespace of [node, ...[client, ...servers].map((each) => each.name)]) {
      runNow(["ip", "netns", "add", namespace]);
    }
    batch(node, [
      "link add br0 address 02:6e:67:78:00:03 type bridge",
      "link set br0 up",
      `addr add ${gateway}/16 dev br0`,
    ]);
    for (const [index, each] of [client, ...servers].entries()) {
      connect(node, each, index);
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { client, servers, remove };
}

function connect(node: string, pod: Pod, index: number): void {
  batch(node, [
    `link add v${index} type veth peer name eth0 netns ${pod.name}`,
    `link set v${index} master br0 up`,
  ]);
  batch(pod.name, [
    "link set lo up",
    `addr add ${pod.address}/16 dev eth0`,
    "link set eth0 up",
    `route add default via ${gateway}`,
  ]);
}

function batch(namespace: string, lines: readonly string[]): void {
  runNow(["ip", "-n", namespace, "-batch", "-"], lines.join("\n"));
}

function removeNamespaces(which: (namespace: string) => boolean): void {
  if (!existsSync("/run/netns")) {
    return;
  }
  for (const namespace of readdirSync("/run/netns").filter(which)) {
    runNow(["ip", "netns", "delete", namespace]);
  }
}

/** What a benchmark that was killed has left. */
function removeRemains(): void {
  removeNamespaces((namespace) => {
    const owner = new RegExp(`^${prefix}-(\\d+)-`).exec(namespace)?.[1];
    return owner !== undefined && !existsSync(`/proc/${owner}`);
  });
}
