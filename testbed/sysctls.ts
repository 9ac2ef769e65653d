/** Settings of the kernel that are the whole machine's: a kubelet insists on its own, so the bed's end puts the old ones back. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Layout } from "./plan.ts";

/** What the kubelet sets (pkg/kubelet/cm, setupKernelTunables). */
const settings = [
  "vm/overcommit_memory",
  "vm/panic_on_oom",
  "kernel/panic",
  "kernel/panic_on_oops",
  "kernel/keys/root_maxkeys",
  "kernel/keys/root_maxbytes",
];
const savedSchema = z.record(z.string(), z.string());

const fileOf = (layout: Layout): string => join(layout.state, "sysctls.json");
const pathOf = (setting: string): string => join("/proc/sys", setting);

export function saveSysctls(layout: Layout): void {
  const present = settings.filter((setting) => existsSync(pathOf(setting)));
  const values = present.map((setting) => [setting, readFileSync(pathOf(setting), "utf8").trim()]);
  writeFileSync(fileOf(layout), JSON.stringify(Object.fromEntries(values)));
}

export function restoreSysctls(layout: Layout): void {
  if (!existsSync(fileOf(layout))) {
    return;
  }
  for (const [setting, value] of Object.entries(
    savedSchema.parse(JSON.parse(readFileSync(fileOf(layout), "utf8"))),
  )) {
    if (readFileSync(pathOf(setting), "utf8").trim() !== value) {
      writeFileSync(pathOf(setting), value);
    }
  }
}
