/** `local up`: starts a mesh from a folder of manifests and waits until its pods are ready. */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { isSea } from "node:sea";
import { Command, Option } from "commander";
import { FolderError, openFolder } from "../cluster/folder.ts";
import { annotations } from "../api/annotations.ts";
import { formatProblem } from "../api/problem.ts";
import { ProgramError } from "../local/commands.ts";
import type { EngineView } from "../local/control.ts";
import { type DesiredPod, desiredPods } from "../local/desired.ts";
import {
  checkKernel,
  checkMachine,
  checkStateFolder,
  chooseNetwork,
  cleanUp,
  type EngineRecord,
  isAlive,
  LocalError,
  readRecord,
  startInBackground,
} from "../local/host.ts";
import type { Layout } from "../local/layout.ts";
import { withNetworkLock } from "../local/network-lock.ts";
import type { EngineSettings } from "../local/settings.ts";
import { parseDuration } from "./duration.ts";
import { CommandError, exitStatus } from "./errors.ts";
import { globalOptions } from "./global-options.ts";
import { endMesh, type Mesh } from "./local-end.ts";
import { chosenMesh, engineStatus } from "./local-mesh.ts";
import { conclude, inBackground, lastLines } from "./local-up-report.ts";
import type { Output } from "./program.ts";

interface UpOptions {
  readonly file: string;
  readonly name?: string;
  readonly timeout: number;
  readonly foreground?: boolean;
  readonly trustDomain: string;
  readonly svidTtl: number;
  readonly caTtl: number;
  readonly caOverlap?: number;
  readonly caKeyType: EngineSettings["caKeyType"];
  readonly sidecarRoot: string;
}

/** The checkout or installation that this program is part of. */
function programFolder(): string {
  return resolve(import.meta.dirname, existsSync(join(import.meta.dirname, "local.mjs")) ? ".." : "../..");
}

/** Whether a pod names an image where no root folder stands in for it. */
function namesImage(pod: DesiredPod): boolean {
  return (
    pod.annotations[annotations.localRoot] === undefined &&
    pod.spec.containers.some((container) => container.image !== undefined)
  );
}

async function checkManifests(folder: string, output: Output): Promise<void> {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new CommandError(`the folder of manifests "${folder}" does not exist or is not a folder`);
  }
  try {
    const contents = await openFolder(folder).read();
    contents.problems.forEach((problem) => output.warn(`${problem.severity}: ${formatProblem(problem)}\n`));
    if (desiredPods(contents).groups.some((group) => group.pods.some(namesImage))) {
      output.print("images are not looked at: containers run as processes, by their commands\n");
    }
  } catch (error) {
    if (error instanceof FolderError) {
      throw new CommandError(error.message, { cause: error });
    }
    throw error;
  }
}

const sleep = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

/** Says each pod as it becomes ready; resolves with the last view. */
async function untilReady(
  mesh: { name: string; layout: Layout },
  alive: () => boolean,
  end: number,
  output: Output,
): Promise<EngineView | undefined> {
  const said = new Set<string>();
  let view: EngineView | undefined;
  while (Date.now() < end) {
    if (!alive()) {
      throw new CommandError(
        `the engine of mesh "${mesh.name}" has ended:\n${lastLines(join(mesh.layout.logs, "engine.err"), 10)}${lastLines(mesh.layout.log, 10)}`,
      );
    }
    view = existsSync(mesh.layout.controlSocket) ? await engineStatus(mesh, 5000).catch(() => view) : view;
    const fresh = view?.pods.filter((pod) => pod.ready && !said.has(`${pod.namespace}/${pod.name}`)) ?? [];
    for (const pod of fresh) {
      said.add(`${pod.namespace}/${pod.name}`);
      const total = (view?.pods.length ?? 0) + (view?.missing.length ?? 0);
      output.print(
        `  ready  ${`${said.size}/${total}`.padEnd(7)} ${pod.namespace}/${pod.name}  ${pod.address}${pod.meshed ? "" : "  (not meshed)"}\n`,
      );
    }
    if (view?.ready === true) {
      return view;
    }
    await sleep(50);
  }
  return view;
}

/** `--timeout` is an option of every command, which takes it; its default is for questions to the control plane. */
function patienceOf(options: UpOptions, command: Command): number {
  const given = command.parent?.parent?.getOptionValueSource("timeout") === "cli";
  return given ? globalOptions(command).timeout : options.timeout;
}

function settingsOf(
  options: UpOptions,
  mesh: { readonly name: string; readonly layout: Layout },
): Omit<EngineSettings, "network"> {
  return {
    name: mesh.name,
    state: mesh.layout.state,
    manifests: resolve(options.file),
    trustDomain: options.trustDomain,
    svidTtlSeconds: options.svidTtl / 1000,
    caTtlSeconds: options.caTtl / 1000,
    ...(options.caOverlap === undefined ? {} : { caOverlapSeconds: options.caOverlap / 1000 }),
    caKeyType: options.caKeyType,
    program: programFolder(),
    sidecarRoot: options.sidecarRoot,
  };
}

function refuseIfRunning(layout: Layout): void {
  const before = readRecord(layout);
  if (before !== undefined && isAlive(before)) {
    throw new CommandError(
      `the state folder ${layout.state} is in use: mesh "${before.settings.name}" runs from ${before.settings.manifests} (process ${before.pid}); "nginx-meshctl local down" ends it, --name starts another beside it`,
    );
  }
}

/** Removes the mesh again when the user or the system ends this program. */
function cleanUpOnSignals(layout: Layout, output: Output): () => void {
  const interrupted = (): void => {
    output.warn("\ninterrupted: ending the mesh\n");
    void cleanUp(layout).finally(() => process.exit(130));
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  return () => {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  };
}

async function up(options: UpOptions, command: Command, output: Output): Promise<void> {
  if (isSea()) {
    throw new CommandError(
      'a local mesh is started from a checkout of the project ("make build", then bin/nginx-meshctl): this file has no sidecar in it',
    );
  }
  const mesh = chosenMesh({
    ...globalOptions(command),
    ...(options.name === undefined ? {} : { name: options.name }),
  });
  const { layout } = mesh;
  const settings = settingsOf(options, mesh);
  checkMachine(settings.program, options.sidecarRoot);
  await checkManifests(settings.manifests, output);
  refuseIfRunning(layout);
  checkStateFolder(layout);
  await checkKernel();
  const patience = patienceOf(options, command);
  const end = Date.now() + patience;
  let done = (): void => undefined;
  // one start at a time on this machine, so that neither a network nor a state folder is taken twice
  const record = await withNetworkLock(async () => {
    refuseIfRunning(layout);
    done = cleanUpOnSignals(layout, output);
    if (await cleanUp(layout)) {
      output.print("  removed what an earlier mesh of this name had left behind\n");
    }
    output.print(`mesh "${mesh.name}" from ${settings.manifests}\n`);
    return startInBackground({ ...settings, network: await chooseNetwork() });
  });
  const view = await untilReady(mesh, () => isAlive(record), end, output);
  done();
  const lasting = options.foreground === true ? "until Ctrl-C" : inBackground;
  conclude(view, layout, patience, output, lasting);
  if (options.foreground === true) {
    await stayInForeground(mesh, record, output);
  }
}

/** Until this program is told to end, which ends the mesh; throws CommandError when the mesh ends by itself. */
async function stayInForeground(mesh: Mesh, record: EngineRecord, output: Output): Promise<void> {
  let told = false;
  const end = (): void => void (told = true);
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
  while (!told) {
    if (!isAlive(record)) {
      throw new CommandError(`mesh "${mesh.name}" has ended`, { status: exitStatus.notWell });
    }
    await sleep(100);
  }
  output.print(`ending mesh "${mesh.name}"\n`);
  await endMesh(mesh, record, output);
}

function duration(flags: string, text: string, standard: string): Option {
  return new Option(flags, text).argParser(parseDuration).default(parseDuration(standard), standard);
}

export function localUpCommand(output: Output): Command {
  return new Command("up")
    .summary("start a mesh from a folder of manifests")
    .description(
      "Starts a mesh from a folder of Kubernetes manifests and returns when every pod is ready. The mesh goes on in the background, and follows changes of the folder.",
    )
    .requiredOption("-f, --file <dir>", "folder of manifests")
    .option("--name <name>", "name of the mesh (default: default)")
    .addOption(duration("--timeout <duration>", "how long to wait until every pod is ready", "60s"))
    .option("--foreground", "stay, and end the mesh on Ctrl-C")
    .option("--trust-domain <name>", "SPIFFE trust domain", "example.org")
    .addOption(duration("--svid-ttl <duration>", "life of an SVID", "1h"))
    .addOption(duration("--ca-ttl <duration>", "life of the certificate authority", "720h"))
    .addOption(
      new Option("--ca-overlap <duration>", "how long a new authority is known before it signs").argParser(
        parseDuration,
      ),
    )
    .addOption(
      new Option("--ca-key-type <type>", "key of the certificate authority")
        .choices(["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"])
        .default("ec-p256"),
    )
    .addOption(
      new Option("--sidecar-root <dir>", "root file system with nginx and nats-server")
        .env("NGINX_MESH_SIDECAR_ROOT")
        .default(join(process.env["NGINX_MESH_CACHE"] ?? "/var/cache/nginx-mesh", "sidecar-root")),
    )
    .action(async (options: UpOptions, command: Command) => {
      try {
        await up(options, command, output);
      } catch (error) {
        if (error instanceof LocalError || error instanceof ProgramError) {
          throw new CommandError(error.message, { cause: error });
        }
        throw error;
      }
    });
}
