/**
 * A Kubernetes cluster on this machine, without a container engine or systemd: `node testbed/cluster.ts up|down|status`, and for
 * tests `restart PART`, `signal PART NAME`, `proxy [MODE]`.
 * Environment: CLUSTER_STATE (state folder), CLUSTER_NODES (default 2), CLUSTER_PROXY (iptables or nftables), NGINX_MESH_CACHE.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { openBed, readRecord, removeBed } from "./bed.ts";
import { end, partNamed, runningBed, switchProxy } from "./change.ts";
import { BedError } from "./errors.ts";
import { nodeParts, planeParts } from "./parts.ts";
import { layoutOf, stateFolder } from "./plan.ts";
import { pidOf, signal } from "./processes.ts";
import { say } from "./progress.ts";
import { run } from "./run.ts";
import { programsOf, up, type Settings } from "./start.ts";

const checkout = join(import.meta.dirname, "..");
const environment = z
  .object({
    CLUSTER_STATE: z.string().startsWith("/", "must be an absolute path").optional(),
    CLUSTER_NODES: z.coerce.number().int().min(1).max(9).default(2),
    CLUSTER_PROXY: z.enum(["iptables", "nftables"]).default("iptables"),
    NGINX_MESH_CACHE: z.string().default("/var/cache/nginx-mesh"),
  })
  .safeParse(process.env);

async function start(settings: Settings): Promise<void> {
  const bed = await up(settings);
  const path = readFileSync(join(bed.layout.state, "path"), "utf8").trim();
  const environment = { KUBECONFIG: bed.layout.kubeconfig, PATH: `${path}:${process.env["PATH"] ?? ""}` };
  console.log(await run(["kubectl", "get", "nodes", "-o", "wide"], { environment }));
  console.log(`export KUBECONFIG=${bed.layout.kubeconfig}`);
  console.log(`export PATH=${path}:$PATH`);
}

async function status({ layout }: Settings): Promise<void> {
  const found = readRecord(layout);
  if (found.kind !== "alive") {
    say(
      "bed",
      found.kind === "none"
        ? 'there is none; "make cluster" makes one'
        : 'it has ended; "make cluster" makes a new one',
    );
    process.exitCode = 1;
    return;
  }
  const bed = openBed(layout, found.record);
  for (const part of [...planeParts(bed.plan), ...nodeParts(bed.plan)]) {
    const pid = await pidOf(bed, part);
    say(pid === undefined ? "ended" : "runs", `${part.name.padEnd(24)} ${layout.log(part.name)}`);
  }
}

/** Ends one part and starts it again: what a test of its absence needs. */
async function restart(settings: Settings, name: string): Promise<void> {
  const bed = runningBed(settings.layout);
  await end(bed, partNamed(bed, name));
  await up(settings);
}

const signalName = z.enum(["TERM", "KILL", "STOP", "CONT"]);
const proxyMode = z.enum(["iptables", "nftables"]);

/** What was typed, if it is one of those that there are. */
function oneOf<T extends string>(names: z.ZodType<T> & { options: readonly T[] }, typed: string): T {
  const parsed = names.safeParse(typed);
  if (!parsed.success) {
    throw new BedError(`"${typed}" is none of ${names.options.join(", ")}`);
  }
  return parsed.data;
}

async function main(): Promise<void> {
  const [command, argument = "", name = ""] = process.argv.slice(2);
  if (!environment.success) {
    throw new BedError(z.prettifyError(environment.error));
  }
  if (process.getuid?.() !== 0) {
    throw new BedError("a cluster makes namespaces, which only root may: run it with sudo");
  }
  const settings: Settings = {
    checkout,
    cache: environment.data.NGINX_MESH_CACHE,
    layout: layoutOf(stateFolder(checkout, environment.data.CLUSTER_STATE)),
    nodes: environment.data.CLUSTER_NODES,
    proxyMode: environment.data.CLUSTER_PROXY,
  };
  switch (command) {
    case "up":
      return start(settings);
    case "down":
      say("bed", (await removeBed(settings.layout)) ? "removed" : "there was none");
      return;
    case "status":
      return status(settings);
    case "restart":
      return restart(settings, argument);
    case "signal": {
      const bed = runningBed(settings.layout);
      return signal(bed, partNamed(bed, argument), oneOf(signalName, name));
    }
    case "proxy": {
      const bed = runningBed(settings.layout);
      if (argument === "") {
        console.log(bed.record.proxyMode);
        return;
      }
      return switchProxy(bed, await programsOf(settings), oneOf(proxyMode, argument));
    }
    case "kubeconfig":
      console.log(settings.layout.kubeconfig);
      return;
    default:
      throw new BedError(
        `"${command ?? ""}" is no command; there are up, down, status, kubeconfig, restart PART, signal PART NAME, proxy [MODE]`,
      );
  }
}

try {
  await main();
} catch (error) {
  console.error(
    `cluster: ${error instanceof BedError ? error.message : ((error as Error).stack ?? String(error))}`,
  );
  process.exitCode = 1;
}
