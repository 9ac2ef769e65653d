/** The bed itself: the namespaces in which a cluster runs, and their end. Nothing of it is in the host's own network or mounts. */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { BedError } from "./errors.ts";
import { inside } from "./parts.ts";
import { type Layout, type NodePlan, planOf, type Plan, stateRoot } from "./plan.ts";
import { attempt, run, sleep } from "./run.ts";

const recordSchema = z.strictObject({
  /** Process on the host whose only child is the first process of the bed's PID namespace. */
  pid: z.int().positive(),
  number: z.int(),
  nodes: z.int().positive(),
  proxyMode: z.enum(["iptables", "nftables"]),
});
export type BedRecord = z.infer<typeof recordSchema>;

export interface Bed {
  readonly layout: Layout;
  readonly plan: Plan;
  readonly record: BedRecord;
  /** First words of a command that runs in the bed; with a node, in that node's namespaces. */
  enter(node?: NodePlan): readonly string[];
}

export type RecordState =
  | { readonly kind: "none" }
  | { readonly kind: "dead" }
  | { readonly kind: "alive"; readonly record: BedRecord };

/** What the state folder says of a bed, and whether that is still so. */
export function readRecord(layout: Layout): RecordState {
  if (!existsSync(layout.state)) {
    return { kind: "none" };
  }
  if (!existsSync(layout.record)) {
    return { kind: "dead" };
  }
  const record = recordSchema.parse(JSON.parse(readFileSync(layout.record, "utf8")));
  return isAlive(record, layout) ? { kind: "alive", record } : { kind: "dead" };
}

/** Whether the recorded process is there and is the one that was recorded, not another with its number. */
function isAlive(record: BedRecord, layout: Layout): boolean {
  try {
    return readFileSync(`/proc/${record.pid}/cmdline`, "utf8").includes(markOf(layout));
  } catch {
    return false;
  }
}

/** A word in the command line of the bed's process, by which it is known. */
const markOf = (layout: Layout): string => `testbed=${layout.state}`;

function firstProcess(record: BedRecord): number {
  const children = readFileSync(`/proc/${record.pid}/task/${record.pid}/children`, "utf8").trim();
  const [first = ""] = children.split(" ");
  if (first === "") {
    throw new BedError('the bed\'s first process has ended; run "make cluster-down", then "make cluster"');
  }
  return Number(first);
}

export function openBed(layout: Layout, record: BedRecord): Bed {
  const enterPlane = ["nsenter", "--target", String(firstProcess(record)), "--pid", "--mount", "--net"];
  return {
    layout,
    record,
    plan: planOf(record.number, record.nodes),
    enter(node) {
      if (node === undefined) {
        return [...enterPlane, "--"];
      }
      const pid = readFileSync(layout.pid(node.name), "utf8").trim();
      const enterNode = ["nsenter", "--target", pid, "--mount", "--net", "--uts", "--"];
      return [...enterPlane, "--", ...enterNode];
    },
  };
}

/** Makes the bed's namespaces, with the nodes' inside, and the link to the host. */
export async function makeBed(layout: Layout, wanted: Omit<BedRecord, "pid">): Promise<Bed> {
  for (const folder of [layout.logs, layout.pids]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  const output = openSync(layout.log("bed"), "a", 0o600);
  // tini reaps what pods leave behind
  const first = ["tini", "--", "sleep", "infinity"];
  const flags = [
    "--pid",
    "--fork",
    "--kill-child",
    "--mount",
    "--mount-proc",
    "--net",
    "--propagation",
    "private",
  ];
  const child = spawn("unshare", [...flags, "--", "env", markOf(layout), ...first], {
    detached: true,
    cwd: "/",
    stdio: ["ignore", output, output],
  });
  if (child.pid === undefined) {
    throw new BedError("cannot run unshare; is the package util-linux installed?");
  }
  child.unref();
  const record: BedRecord = { pid: child.pid, ...wanted };
  writeFileSync(layout.record, JSON.stringify(record), { mode: 0o600 });
  const bed = await untilThere(layout, record);
  await run([...bed.enter(), "mount", "--bind", layout.state, inside.state]);
  await run([...bed.enter(), "sh", "-e"], { input: planeScript(bed.plan) });
  await linkToHost(bed);
  for (const node of bed.plan.nodes) {
    await makeNode(bed, node);
  }
  return bed;
}

async function untilThere(layout: Layout, record: BedRecord): Promise<Bed> {
  for (let tries = 0; tries < 200; tries++) {
    await sleep(20);
    const found = await attempt(["pgrep", "--parent", String(record.pid), "tini"]);
    if (found.status === 0) {
      return openBed(layout, record);
    }
  }
  throw new BedError(`the bed's namespaces were not made; ${layout.log("bed")} may say why`);
}

function planeScript(plan: Plan): string {
  const routes = plan.nodes.map(
    (node) =>
      `ip route add ${node.podRange} via ${node.address}; ip -6 route add ${node.podRange6} via ${node.address6}`,
  );
  return [
    "ip link set lo up",
    "ip link add nodes type bridge",
    `ip addr add ${plan.plane}/24 dev nodes`,
    `ip -6 addr add ${plan.plane6}/64 dev nodes nodad`,
    "ip link set nodes up",
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
    // the nodes' packets are theirs to filter, not the bridge's
    "for each in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $each ] || echo 0 > $each; done",
    ...routes,
  ].join("\n");
}

/** The alias names the bed, so that whoever cleans up takes away no other's link. */
async function linkToHost({ plan, layout, record, enter }: Bed): Promise<void> {
  const lines = [
    `link set ${plan.link} alias ${markOf(layout)}`,
    `addr add ${plan.uplinkHost}/30 dev ${plan.link}`,
    `link set ${plan.link} up`,
    `route add ${plan.range} via ${plan.uplinkPlane}`,
  ];
  const peer = ["peer", "name", "uplink", "netns", String(firstProcess(record))];
  await run(["ip", "link", "add", plan.link, "type", "veth", ...peer]);
  await run([...enter(), "sh", "-e"], {
    input: `ip addr add ${plan.uplinkPlane}/30 dev uplink; ip link set uplink up`,
  });
  await run(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** A node: its own network, mounts and host name; its folders lie where kubelet and containerd look for them. */
async function makeNode(bed: Bed, node: NodePlan): Promise<void> {
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

/** The cgroup below which each kubelet has its own. */
export function makeCgroups(layout: Layout, nodes: readonly NodePlan[]): void {
  for (const hierarchy of cgroupHierarchies()) {
    for (const path of [layout.cgroup, ...nodes.map((node) => `${layout.cgroup}/${node.name}`)]) {
      const folder = join(hierarchy, path);
      mkdirSync(folder, { recursive: true });
      // a new group of this hierarchy has no processors and no memory until it is told
      for (const file of ["cpuset.cpus", "cpuset.mems"].filter((name) => existsSync(join(folder, name)))) {
        writeFileSync(join(folder, file), readFileSync(join(dirname(folder), file)));
      }
    }
  }
}

function cgroupHierarchies(): readonly string[] {
  const lines = readFileSync("/proc/mounts", "utf8").split("\n");
  return lines
    .map((line) => line.split(" "))
    .flatMap(([, path, type]) => (type?.startsWith("cgroup") && path !== undefined ? [path] : []));
}

/** Ends everything that runs in the bed and removes every trace of it, whatever state it is in. Says whether there was anything. */
export async function removeBed(layout: Layout): Promise<boolean> {
  const found = readRecord(layout);
  if (found.kind === "none") {
    return false;
  }
  if (found.kind === "alive") {
    const first = firstProcess(found.record);
    process.kill(first, "SIGKILL");
    for (let tries = 0; tries < 500 && isAlive(found.record, layout); tries++) {
      await sleep(20);
    }
  }
  await removeLinks(layout);
  removeCgroups(layout);
  rmSync(layout.state, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  if (dirname(layout.state) === stateRoot && readdirSync(stateRoot).length === 0) {
    rmdirSync(stateRoot);
  }
  return true;
}

/** The link goes with the bed's network namespace, which the kernel takes down a moment later. */
async function removeLinks(layout: Layout): Promise<void> {
  for (const name of readdirSync("/sys/class/net").filter((each) => each.startsWith("nmbed"))) {
    const file = `/sys/class/net/${name}/ifalias`;
    if (existsSync(file) && readFileSync(file, "utf8").trim() === markOf(layout)) {
      await attempt(["ip", "link", "delete", name]);
    }
  }
}

function removeCgroups(layout: Layout): void {
  const remove = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) {
        remove(join(folder, entry.name));
      }
    }
    rmdirSync(folder);
  };
  for (const folder of cgroupHierarchies().map((hierarchy) => join(hierarchy, layout.cgroup))) {
    if (existsSync(folder)) {
      remove(folder);
    }
  }
}
