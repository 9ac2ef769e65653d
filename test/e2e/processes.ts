/** Processes of a test mesh as the host sees them. */
import { readdirSync, readFileSync } from "node:fs";
import { readRecord } from "../../src/local/host.ts";
import type { PodView } from "../../src/local/control.ts";
import type { TestMesh } from "./mesh.ts";

export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  readonly title: string;
  /** Process ids in the namespaces from the host's inwards. */
  readonly pids: readonly number[];
  /** KiB. */
  readonly resident: number;
}

function readProcess(pid: number): HostProcess | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    // ended, and waits only for its parent to ask how
    if (/^State:\s+Z/m.test(status)) {
      return undefined;
    }
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    return {
      pid,
      parent: Number(field("PPid")),
      title: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim(),
      pids: field("NSpid").split(/\s+/).map(Number),
      resident: Number.parseInt(field("VmRSS"), 10) || 0,
    };
  } catch {
    return undefined;
  }
}

export function allProcesses(): HostProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

function below(all: readonly HostProcess[], pid: number): HostProcess[] {
  const children = all.filter((process) => process.parent === pid);
  return children.flatMap((child) => [child, ...below(all, child.pid)]);
}

/** All processes of the mesh, the engine's holder first. */
export function meshProcesses(mesh: Pick<TestMesh, "layout">): HostProcess[] {
  const record = readRecord(mesh.layout);
  const all = allProcesses();
  const holder = all.find((process) => process.pid === record?.pid);
  return holder === undefined ? [] : [holder, ...below(all, holder.pid)];
}

/** The process that the engine knows by this id. */
export function hostProcess(mesh: Pick<TestMesh, "layout">, inside: number | undefined): HostProcess {
  const found = meshProcesses(mesh).find((process) => process.pids[1] === inside);
  if (found === undefined) {
    throw new Error(`no process of the mesh has the number ${inside}`);
  }
  return found;
}

/** Master and workers of the pod's sidecar. */
export function sidecarProcesses(
  mesh: Pick<TestMesh, "layout">,
  pod: PodView,
): { readonly master: HostProcess; readonly workers: readonly HostProcess[] } {
  const inside = pod.containers.find((container) => container.name === "sidecar")?.pid;
  const top = hostProcess(mesh, inside);
  const all = [top, ...below(allProcesses(), top.pid)];
  const master = all.find((process) => process.title.startsWith("nginx: master"));
  if (master === undefined) {
    throw new Error(`the sidecar of ${pod.name} has no master: ${all.map((each) => each.title).join(", ")}`);
  }
  return { master, workers: all.filter((process) => process.title.startsWith("nginx: worker")) };
}

/** The engine, controller or NATS. */
export async function partProcess(mesh: TestMesh, part: "nats" | "controller"): Promise<HostProcess> {
  return hostProcess(mesh, (await mesh.view()).parts[part]?.pid);
}
