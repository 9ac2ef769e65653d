/** What the figures were measured on. */
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { runNow } from "./commands.ts";

/** A sentence for the document: machine, kernel, versions, date. */
export function machine(date: Date, root: string): string {
  const cores = cpus();
  const model = cores[0]?.model.trim() ?? "unknown processor";
  const kernel = /^[\d.]+/.exec(runNow(["uname", "-r"]))?.[0] ?? "";
  const memory = Math.round(totalmem() / 2 ** 30);
  const commit = runNow(["git", "-C", import.meta.dirname, "describe", "--always", "--dirty"]).trim();
  return `${date.toISOString().slice(0, 10)}, commit ${commit}: ${model}, ${cores.length} cores, ${memory} GiB, Linux ${kernel}, ${nginxVersion(root)}, Node ${process.version}.`;
}

function nginxVersion(root: string): string {
  const status = readFileSync(`${root}/var/lib/dpkg/status`, "utf8");
  const version = /^Package: nginx\n[\s\S]*?^Version: (.*)$/m.exec(status)?.[1] ?? "of unknown version";
  return `nginx ${version}`;
}

/** Share of the machine that something else takes, 0 to 1; a benchmark wants it to be near 0. */
export function busyShare(before: readonly number[], after: readonly number[]): number {
  const spent = after.map((value, index) => value - (before[index] ?? 0));
  const total = spent.reduce((sum, value) => sum + value, 0);
  const idle = (spent[3] ?? 0) + (spent[4] ?? 0);
  return total === 0 ? 0 : 1 - idle / total;
}

/** The machine's CPU times: proc(5), first line of /proc/stat. */
export function cpuTimes(): readonly number[] {
  const line = readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "";
  return line.split(/\s+/).slice(1).map(Number);
}
