/** A node of the bed: its namespaces, its folders, its link. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bed } from "./bed.ts";
import { BedError } from "./errors.ts";
import { inside } from "./parts.ts";
import type { NodePlan, Plan } from "./plan.ts";
import { attempt, run, sleep } from "./run.ts";

/** A node: its own network, mounts and host name; its folders lie where kubelet and containerd look for them. */
export async function makeNode(bed: Bed, node: NodePlan): Promise<void> {
  const { plan, layout } = bed;
  for (const folder of ["lib", "log", "tmp", "cni"]) {
    mkdirSync(join(layout.node(node.name), folder), { recursive: true });
  }
  const own = inside.node(node.name);
  const script = [
    `mount --bind ${own}/lib /var/lib`,
    `mount --bind ${own}/log /var/log`,
    `mount --bind ${own}/tmp /tmp`,
    "mount -t tmpfs -o mode=755 tmpfs /run",
    "mkdir -p /run/lock /run/netns /var/lib/kubelet /var/lib/containerd",
    // nobody answers there, and at once: an image that is not here is missing within a second, not a minute
    "echo nameserver 127.0.0.1 >/run/resolv.conf",
    "mount --bind /run/resolv.conf /etc/resolv.conf",
    // volumes that are mounted here must appear in pods
    "mount --make-rshared /",
    `hostname ${node.name}`,
    "exec sleep infinity",
  ].join("\n");
  const start = `setsid unshare --net --mount --uts --propagation private -- sh -ec "$0" </dev/null >${inside.log(node.name)} 2>&1 & echo $! >${inside.pid(node.name)}`;
  await run([...bed.enter(), "sh", "-ec", start, script]);
  await untilNamed(bed, node);
  const pid = readFileSync(layout.pid(node.name), "utf8").trim();
  await run([...bed.enter(), "sh", "-e"], {
    input: [
      `ip link add ${node.name} type veth peer name eth0 netns ${pid}`,
      `ip link set ${node.name} master nodes up`,
    ].join("\n"),
  });
  await run([...bed.enter(node), "sh", "-e"], { input: nodeScript(plan, node) });
}

async function untilNamed(bed: Bed, node: NodePlan): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const name = await attempt([...bed.enter(node), "hostname"]);
    if (name.output.trim() === node.name) {
      return;
    }
    await sleep(20);
  }
  throw new BedError(`the namespaces of ${node.name} were not made; see ${bed.layout.log(node.name)}`);
}

function nodeScript(plan: Plan, node: NodePlan): string {
  const others = plan.nodes.filter((other) => other !== node);
  return [
    "ip link set lo up",
    `ip addr add ${node.address}/24 dev eth0`,
    `ip -6 addr add ${node.address6}/64 dev eth0 nodad`,
    "ip link set eth0 up",
    `ip route add default via ${plan.plane}`,
    `ip -6 route add default via ${plan.plane6}`,
    ...others.map((other) => `ip route add ${other.podRange} via ${other.address}`),
    ...others.map((other) => `ip -6 route add ${other.podRange6} via ${other.address6}`),
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
  ].join("\n");
}
