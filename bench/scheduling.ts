/**
 * One scheduling group for everything that is measured. Where the kernel makes a group of each session (sched(7), "The autogroup
 * feature"), a proxy that a daemon started would get another share of the processor than one that the benchmark started, and
 * with it other batches, latencies and costs a request. Members of a control group are not grouped by session; children
 * inherit it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const prefix = "nginx-mesh-bench-";

export interface SchedulingGroup {
  /** Moves this process back and removes the group; what still runs in it is moved too. */
  leave(): void;
}

/** Puts this process, and so all that it starts from now on, into a group. Undefined where the kernel has no such groups. */
export function joinSchedulingGroup(): SchedulingGroup | undefined {
  const parent = hierarchy();
  if (parent === undefined) {
    return undefined;
  }
  removeRemains(parent);
  const group = join(parent, `${prefix}${process.pid}`);
  mkdirSync(group);
  const move = (pid: number | string, to: string): void =>
    writeFileSync(join(to, "cgroup.procs"), String(pid));
  move(process.pid, group);
  return {
    leave() {
      const members = readFileSync(join(group, "cgroup.procs"), "utf8").trim().split("\n");
      try {
        members.filter((pid) => pid !== "").forEach((pid) => move(pid, parent));
        rmdirSync(group);
      } catch (error) {
        // a process that ends meanwhile, or is not waited for yet; the next run removes the group
        if (!["EBUSY", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) {
          throw error;
        }
      }
    },
  };
}

/** The folder of the cpu controller: version 1 has one of its own; in version 2 it is switched on for the children of the root. */
function hierarchy(): string | undefined {
  const first = "/sys/fs/cgroup/cpu";
  if (existsSync(join(first, "cpu.shares"))) {
    return first;
  }
  const second = "/sys/fs/cgroup";
  try {
    writeFileSync(join(second, "cgroup.subtree_control"), "+cpu");
    return second;
  } catch {
    return undefined;
  }
}

/** Groups of benchmarks that were killed. */
function removeRemains(parent: string): void {
  for (const name of readdirSync(parent).filter((entry) => entry.startsWith(prefix))) {
    if (!existsSync(`/proc/${name.slice(prefix.length)}`)) {
      rmdirSync(join(parent, name));
    }
  }
}
