/** The host's part of a local mesh: checks, starting and ending the engine, the link to it. */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { addressPlan, freePlan } from "./addresses.ts";
import { run } from "./commands.ts";
import { launcherIn } from "./launch.ts";
import { type Layout, layoutOf } from "./layout.ts";
import type { EngineSettings } from "./settings.ts";

/** A mesh cannot be started or ended; the message says why and what to do. */
export class LocalError extends Error {
  override readonly name = "LocalError";
}

export interface EngineRecord {
  /** Process on the host that holds the mesh's namespaces. */
  readonly pid: number;
  readonly network: number;
  readonly settings: EngineSettings;
}

const neededPrograms = ["ip", "nft", "iptables-restore", "nsenter", "unshare", "mount", "umount"];

function inPath(program: string): boolean {
  const folders = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`.split(":");
  return folders.some((folder) => folder !== "" && existsSync(join(folder, program)));
}

/** Throws LocalError when this machine or this build cannot run a mesh. */
export function checkMachine(program: string, sidecarRoot: string): void {
  if (process.getuid?.() !== 0) {
    throw new LocalError("a local mesh makes network namespaces, which only root may: run it with sudo");
  }
  const missing = neededPrograms.filter((name) => !inPath(name));
  if (missing.length > 0) {
    throw new LocalError(
      `these programs are missing: ${missing.join(", ")}; Debian has them in iproute2, nftables, iptables, util-linux and mount ("make build" installs them)`,
    );
  }
  for (const file of [
    "build/local.mjs",
    "build/controller.mjs",
    "build/launcher",
    "build/sidecar/nginx.conf",
    "build/sidecar/ngx_mesh_module.so",
  ]) {
    if (!existsSync(join(program, file))) {
      throw new LocalError(`${join(program, file)} is not there: run "make build" first`);
    }
  }
  if (!existsSync(join(sidecarRoot, "usr/sbin/nginx"))) {
    throw new LocalError(
      `the sidecar's root file system ${sidecarRoot} has no nginx: run "make build" first`,
    );
  }
}

/** Throws LocalError when the kernel lacks what capture and namespaces need. */
export async function checkKernel(): Promise<void> {
  const script =
    "grep -q overlay /proc/filesystems || modprobe overlay; ip link set lo up && iptables -t nat -A OUTPUT -p tcp -m owner --uid-owner 1 -j REDIRECT --to-ports 1 && nft list tables >/dev/null";
  try {
    await run("unshare", ["--net", "--mount", "--pid", "--fork", "sh", "-e", "-c", script]);
  } catch (error) {
    throw new LocalError(
      `the kernel lacks something that a mesh needs (network and PID namespaces, netfilter with REDIRECT and the owner match): ${(error as Error).message}`,
      { cause: error },
    );
  }
}

export function readRecord(layout: Layout): EngineRecord | undefined {
  try {
    return JSON.parse(readFileSync(layout.record, "utf8")) as EngineRecord;
  } catch {
    return undefined;
  }
}

/** Throws LocalError when the state folder holds something that is no mesh's: it goes as a whole when the mesh ends. */
export function checkStateFolder(layout: Layout): void {
  if (!existsSync(layout.state) || existsSync(layout.record) || existsSync(layout.lock)) {
    return;
  }
  // a mesh that was killed before it had written more left its log
  const [first] = readdirSync(layout.state).filter((each) => each !== "logs" || !existsSync(layout.log));
  if (first !== undefined) {
    throw new LocalError(
      `${layout.state} cannot be a mesh's state folder, which is removed when the mesh ends: it holds ${first}, which is no mesh's; name a folder that is empty or does not exist`,
    );
  }
}

/** Whether the recorded process is there and is the one that was recorded, not another with its number. */
export function isAlive(record: EngineRecord): boolean {
  try {
    return readFileSync(`/proc/${record.pid}/cmdline`, "utf8").includes(record.settings.state);
  } catch {
    return false;
  }
}

/** The engine itself: the first process of the mesh's PID namespace. */
export function enginePid(record: EngineRecord): number | undefined {
  try {
    const children = readFileSync(`/proc/${record.pid}/task/${record.pid}/children`, "utf8")
      .trim()
      .split(" ");
    return children[0] === undefined || children[0] === "" ? undefined : Number(children[0]);
  } catch {
    return undefined;
  }
}

export async function chooseNetwork(): Promise<number> {
  const routes = JSON.parse(await run("ip", ["-j", "-4", "route", "show", "table", "all"])) as {
    dst: string;
  }[];
  const plan = freePlan(routes.map((route) => route.dst));
  if (plan === undefined) {
    throw new LocalError(
      "no free address range among 10.64.0.0/16 to 10.127.0.0/16: all overlap routes of this host",
    );
  }
  return plan.number;
}

const sleep = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

async function untilOwnNetwork(pid: number): Promise<void> {
  const own = readlinkSync("/proc/self/ns/net");
  for (let tries = 0; tries < 300; tries++) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) !== own) {
        return;
      }
    } catch {
      break;
    }
    await sleep(10);
  }
  throw new LocalError("the engine did not get namespaces of its own; its log may say why");
}

function linkAlias(pid: number): string {
  return `nginx-mesh-${pid}`;
}

/** The link bears the number of the mesh's process, so that whoever cleans up takes away no other mesh's. */
async function makeLink(network: number, pid: number): Promise<void> {
  const plan = addressPlan(network);
  const lines = [
    `link add nm${network} type veth peer name uplink netns ${pid}`,
    `link set nm${network} alias ${linkAlias(pid)}`,
    `addr add ${plan.uplinkHost}/30 dev nm${network}`,
    `link set nm${network} up`,
    `route add ${plan.range} via ${plan.uplinkNode}`,
  ];
  await run("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** Starts the engine in the background; it is up when its control socket answers. */
export async function startInBackground(settings: EngineSettings): Promise<EngineRecord> {
  const layout = layoutOf(settings.state);
  mkdirSync(layout.logs, { recursive: true, mode: 0o700 });
  const output = openSync(join(layout.logs, "engine.err"), "a", 0o600);
  // the lock is held by all of the mesh, so that it is free when nothing of it is left
  const flags = ["--lock", layout.lock, "--new-node", "--new-pid", "--"];
  const engine = [process.execPath, join(settings.program, "build/local.mjs"), JSON.stringify(settings)];
  const child = spawn(launcherIn(settings.program), [...flags, ...engine], {
    detached: true,
    cwd: "/",
    stdio: ["ignore", output, output],
  });
  const { pid } = child;
  if (pid === undefined) {
    throw new LocalError(`the engine cannot be started: ${launcherIn(settings.program)} does not run`);
  }
  child.unref();
  const record: EngineRecord = { pid, network: settings.network, settings };
  writeFileSync(layout.record, JSON.stringify(record), { mode: 0o600 });
  await untilOwnNetwork(pid);
  await makeLink(settings.network, pid);
  return record;
}

function aliasOf(network: number): string | undefined {
  try {
    return readFileSync(`/sys/class/net/nm${network}/ifalias`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Ends whatever is left of a mesh, by force if need be, and removes its state folder. Says whether there was anything. */
export async function cleanUp(layout: Layout): Promise<boolean> {
  const record = readRecord(layout);
  if (record === undefined) {
    return false;
  }
  if (isAlive(record)) {
    process.kill(record.pid, "SIGKILL");
  }
  for (let tries = 0; tries < 500 && isAlive(record); tries++) {
    await sleep(10);
  }
  // the link goes with the mesh's network namespace, which the kernel takes down a moment later
  if (aliasOf(record.network) === linkAlias(record.pid)) {
    await run("ip", ["link", "delete", `nm${record.network}`]).catch(() => "");
  }
  rmSync(layout.state, { recursive: true, force: true });
  return true;
}

/** Waits until the engine has ended by itself; false when it did not in time. */
export async function untilEnded(record: EngineRecord, milliseconds: number): Promise<boolean> {
  const end = Date.now() + milliseconds;
  while (Date.now() < end) {
    if (!isAlive(record)) {
      return true;
    }
    await sleep(20);
  }
  return false;
}
