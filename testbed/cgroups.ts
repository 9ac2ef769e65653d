/** The bed's cgroups, in every hierarchy of the machine. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Layout, NodePlan } from "./plan.ts";

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

/** Empty ones only: what ran in them has ended. */
export function removeCgroups(layout: Layout): void {
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
