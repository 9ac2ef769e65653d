/** What the kernel counts about processes. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** One proxy: an nginx master with its workers. */
export interface Proxy {
  readonly pod: string;
  readonly pids: readonly number[];
}

/** A master process and its children. Throws when there is no such process. */
export function processTree(master: number): readonly number[] {
  const children = readFileSync(`/proc/${master}/task/${master}/children`, "utf8").trim();
  return [master, ...(children === "" ? [] : children.split(" ").map(Number))];
}

/** CPU time of all threads of the processes, user and system, in nanoseconds. Throws when one of them is gone. */
export function cpuTime(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    }
  }
  return sum;
}

function kilobytes(file: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(file, "utf8"))?.[1];
  return Number(found ?? 0);
}

/** Proportional set size of the processes together, in MiB. */
export function pss(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + kilobytes(`/proc/${pid}/smaps_rollup`, "Pss"), 0) / 1024;
}

/** Resident set size of one process, in MiB. */
export function rss(pid: number): number {
  return kilobytes(`/proc/${pid}/status`, "VmRSS") / 1024;
}

export interface ProcessView {
  readonly pid: number;
  readonly name: string;
  readonly parent: number;
  /** Identifies the network namespace. */
  readonly network: string;
  readonly command: readonly string[];
}

/** All processes of the machine; those that end meanwhile are left out. */
export function processes(): readonly ProcessView[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => view(Number(entry)) ?? []);
}

function view(pid: number): ProcessView | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return {
      pid,
      name: /^Name:\t(.*)$/m.exec(status)?.[1] ?? "",
      parent: Number(/^PPid:\t(\d+)$/m.exec(status)?.[1]),
      network: readlinkSync(`/proc/${pid}/ns/net`),
      command: readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1),
    };
  } catch {
    return undefined;
  }
}
