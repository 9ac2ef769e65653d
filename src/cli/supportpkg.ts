/** `supportpkg`: what is known of a mesh, in one archive without secrets. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

import { Command } from "commander";

import { tar } from "./tar.ts";
import { version } from "../controller/version.ts";
import { askPod, controllerPod } from "./cluster-mesh.ts";
import { injectedPods, injectedPodsPath } from "./cluster-status.ts";
import { connectCluster } from "./connect-cluster.ts";
import { meshNamespaceOf } from "./controller-client.ts";
import { CommandError, exitStatus } from "./errors.ts";
import { globalOptions, timeoutOf } from "./global-options.ts";
import { type KubeClient, withTimeout } from "./kube-client.ts";
import { itemsOf, type Pod, podSchema } from "./kube-objects.ts";
import type { Output } from "./program.ts";
import { redactApplication, redactText, redactValue } from "./redact.ts";
import { logFiles, objectFiles, type ObjectFile, readme } from "./supportpkg-parts.ts";

/** Milliseconds for all of it, and for one question. */
const packageTimeout = 300_000;
const questionTimeout = 20_000;
/** Questions at a time: an API server has others to serve. */
const parallel = 6;

interface Gathering {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly output: Output;
  readonly files: Map<string, string>;
  readonly errors: string[];
}

/** Takes what it can get: a package of a broken mesh is what it is for. */
/** Undefined for what cannot be had, which is noted: the rest may be. */
async function orNoted<T>(into: Gathering, what: string, ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof CommandError)) {
      throw error;
    }
    into.errors.push(`${what}: ${redactText(error.message)}`);
    return undefined;
  }
}

async function take(into: Gathering, file: string, content: () => Promise<string>): Promise<void> {
  const text = await orNoted(into, file, content);
  if (text !== undefined) {
    into.files.set(file, text);
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** A question has its own limit, so that one that hangs does not take the time of all others. */
function quick(client: KubeClient): KubeClient {
  return withTimeout(client, Math.min(questionTimeout, client.left()));
}

async function objects({ client }: Gathering, { path, cleaning }: ObjectFile): Promise<string> {
  const answer = await quick(client).json({ path });
  if (cleaning === "own") {
    return json(redactValue(answer));
  }
  const { items } = answer as { readonly items: readonly Parameters<typeof redactApplication>[0][] };
  return json({ items: items.map(redactApplication) });
}

const controllerPaths = {
  status: "/status",
  problems: "/problems",
  services: "/services",
  config: "/config",
  traffic: "/top?kind=pods&edges=all",
} as const;

async function askController(into: Gathering): Promise<void> {
  const { client, namespace } = into;
  let pod: Pod;
  try {
    pod = await controllerPod(quick(client), namespace);
  } catch (error) {
    into.errors.push(`controller/: ${(error as Error).message}`);
    return;
  }
  const whom = `the controller (pod ${pod.metadata.name})`;
  for (const [name, path] of Object.entries(controllerPaths)) {
    await take(into, `controller/${name}.json`, async () =>
      json(redactValue(await askPod(quick(client), pod, whom, questionTimeout)(path))),
    );
  }
}

async function podsOfNamespace(client: KubeClient, namespace: string): Promise<readonly Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  return itemsOf(podSchema, await client.json({ path }), "pods");
}

async function gather(into: Gathering, sidecarLogs: boolean): Promise<void> {
  const { client, namespace, output, files } = into;
  await take(into, "versions.json", async () =>
    json({ "nginx-meshctl": version, kubernetes: await client.json({ path: "/version" }) }),
  );
  output.print("  controller  status, problems, services, configuration, traffic\n");
  await askController(into);
  const wanted = objectFiles(namespace, injectedPodsPath);
  output.print(`  objects     ${wanted.length} kinds\n`);
  await inParallel(wanted, (one) => take(into, one.file, () => objects(into, one)));
  // without a list of pods there are no logs
  const own = await orNoted(into, "logs/", () => podsOfNamespace(quick(client), namespace));
  const injected = sidecarLogs ? await orNoted(into, "logs/", () => injectedPods(quick(client))) : [];
  const logs = logFiles(own ?? [], injected ?? []);
  output.print(`  logs        ${logs.length} containers\n`);
  await inParallel(logs, ({ file, path }) =>
    take(into, file, async () => redactText(await quick(client).text({ path, accept: "*/*" }))),
  );
  if (into.errors.length > 0) {
    files.set("errors.txt", `${into.errors.sort().join("\n")}\n`);
  }
}

function write(folder: string, name: string, files: ReadonlyMap<string, string>, now: Date): string {
  const path = join(resolve(folder), `${name}.tar.gz`);
  const entries = [...files].map(([file, content]) => ({
    type: "file" as const,
    path: `${name}/${file}`,
    mode: 0o600,
    content: Buffer.from(content),
  }));
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, gzipSync(tar(entries, Math.floor(now.getTime() / 1000))), { mode: 0o600 });
  } catch (error) {
    throw new CommandError(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
  return path;
}

interface Options {
  readonly output: string;
  /** False by `--disable-sidecar-logs`. */
  readonly disableSidecarLogs?: boolean;
}

async function supportpkg(command: Command, options: Options, output: Output): Promise<void> {
  const reached = await connectCluster(globalOptions(command), output);
  const namespace = await meshNamespaceOf(command, reached);
  const client = withTimeout(reached, timeoutOf(command, packageTimeout));
  const now = new Date();
  const sidecarLogs = options.disableSidecarLogs !== true;
  const about = { version, time: now.toISOString(), cluster: client.cluster.name, namespace, sidecarLogs };
  const files = new Map([["README.txt", readme(about)]]);
  const into: Gathering = { client, namespace, output, files, errors: [] };
  output.print(`support package of the mesh in namespace ${namespace} of ${client.cluster.name}\n`);
  await gather(into, sidecarLogs);
  const name = `nginx-mesh-support-${now.toISOString().slice(0, 19).replace(/[:T]/g, "-")}`;
  const path = write(options.output, name, files, now);
  output.print(`${path}: ${files.size} files, without secrets; names and addresses are in it\n`);
  if (into.errors.length > 0) {
    output.warn(`${into.errors.length} things could not be had; errors.txt in it says why\n`);
    process.exitCode = exitStatus.notWell;
  }
}

export function supportpkgCommand(output: Output): Command {
  const command = new Command("supportpkg")
    .summary("gather what is known of the mesh, without secrets")
    .description(
      "Writes an archive with configuration, versions, states, events and logs. Keys, tokens and passwords are left out; of applications only the state of their pods is in it.",
    )
    .option("-o, --output <dir>", "folder for the archive", ".")
    .option("--disable-sidecar-logs", "leave the logs of the sidecars out");
  return command.action((options: Options) => supportpkg(command, options, output));
}
