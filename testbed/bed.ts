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
import { dirname } from "node:path";
import { z } from "zod";
import { removeCgroups } from "./cgroups.ts";
import { BedError } from "./errors.ts";
import { makeNode } from "./node.ts";
import { inside } from "./parts.ts";
import { type Layout, type NodePlan, planOf, type Plan, stateRoot } from "./plan.ts";
import { attempt, run, sleep } from "./run.ts";
import { restoreSysctls, saveSysctls } from "./sysctls.ts";

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

export function saveRecord(layout: Layout, record: BedRecord): void {
  writeFileSync(layout.record, JSON.stringify(record), { mode: 0o600 });
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
  saveSysctls(layout);
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
  saveRecord(layout, record);
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
  restoreSysctls(layout);
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
