/** Changes to a running bed, for tests: a part is away or slow for a while, kube-proxy works in another way. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openBed, readRecord, saveRecord, type Bed } from "./bed.ts";
import { BedError } from "./errors.ts";
import { nodeFiles, type ProxyMode } from "./node-files.ts";
import { kubeProxy, nodeParts, type Part, planeParts } from "./parts.ts";
import type { Layout, NodePlan } from "./plan.ts";
import { ensureRunning, pidOf, signal, until } from "./processes.ts";
import type { Programs } from "./programs.ts";
import { attempt, sleep } from "./run.ts";

/** Throws BedError when there is none. */
export function runningBed(layout: Layout): Bed {
  const found = readRecord(layout);
  if (found.kind !== "alive") {
    throw new BedError('there is no cluster; "make cluster" makes one');
  }
  return openBed(layout, found.record);
}

/** Throws BedError that lists the names when there is no such part. */
export function partNamed(bed: Bed, name: string): Part {
  const parts = [...planeParts(bed.plan), ...nodeParts(bed.plan)];
  const part = parts.find((each) => each.name === name);
  if (part === undefined) {
    throw new BedError(`no part is called "${name}"; there are ${parts.map((each) => each.name).join(", ")}`);
  }
  return part;
}

/** Ends a part and waits until it has ended. */
export async function end(bed: Bed, part: Part): Promise<void> {
  await signal(bed, part, "TERM");
  while ((await pidOf(bed, part)) !== undefined) {
    await sleep(50);
  }
}

/** Every node's kube-proxy works in this mode from now on; returns once its rules are there and those of the other mode are gone. */
export async function switchProxy(bed: Bed, programs: Programs, mode: ProxyMode): Promise<void> {
  for (const node of bed.plan.nodes) {
    const part = kubeProxy(node);
    // first: it ends by itself when it sees its file change
    await end(bed, part);
    const file = "kube-proxy.json";
    const content = nodeFiles(bed.plan, node, bed.layout, mode)[file] ?? "";
    writeFileSync(join(bed.layout.node(node.name), file), content);
    await ensureRunning(bed, part, programs);
    await until(bed, {
      what: `the rules of ${node.name} in mode ${mode}`,
      seconds: 60,
      parts: [part],
      check: () => rulesMissing(bed, node, mode),
    });
  }
  saveRecord(bed.layout, { ...bed.record, proxyMode: mode });
}

async function rulesMissing(bed: Bed, node: NodePlan, mode: ProxyMode): Promise<string | undefined> {
  const tables = await attempt([...bed.enter(node), "nft", "list", "tables"]);
  const rules = await attempt([...bed.enter(node), "iptables-save", "--table", "nat"]);
  if (tables.status !== 0 || rules.status !== 0) {
    return `${tables.errors}${rules.errors}`.trim();
  }
  const found: Readonly<Record<ProxyMode, boolean>> = {
    nftables: /^table ip kube-proxy$/m.test(tables.output),
    // the chains of those Services stay while they have rules, so one is enough to tell
    iptables: /^-A KUBE-SERVICES /m.test(rules.output),
  };
  const other = mode === "nftables" ? "iptables" : "nftables";
  if (!found[mode]) {
    return `there are none of ${mode}`;
  }
  return found[other] ? `those of ${other} are still there` : undefined;
}
