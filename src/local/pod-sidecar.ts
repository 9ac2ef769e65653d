/** The sidecar of one pod: its identity's socket, its process, and whether it is ready for traffic. */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { serveWorkloadApi } from "../identity/workload-api.ts";
import { ports, sidecarUser, spiffeId } from "../wire/sidecar.ts";
import type { ContainerView } from "./container.ts";
import type { DesiredPod } from "./desired.ts";
import { keep } from "./keeper.ts";
import { drainLaunch, sidecarLaunch } from "./launch.ts";
import { logFile, sidecarName } from "./layout.ts";
import { namespacePath } from "./network.ts";
import type { PodContext } from "./pod.ts";
import { httpGet } from "./probes.ts";
import { serviceNames } from "./service-names.ts";

export interface Sidecar {
  readonly ready: boolean;
  readonly view: ContainerView;
  /** Resolves when it is ready for the first time, or stopped. */
  readonly settled: Promise<void>;
  /** Services came or went: gives it another SVID when their names are not those in its own. */
  checkNames(): void;
  /** No more questions to it; it goes on, and tells callers without a sidecar to go elsewhere. */
  drain(): void;
  stop(): Promise<void>;
}

/** Milliseconds. */
const firstPause = 20;
const longestPause = 500;
const recheck = 5_000;
const timeout = 1_000;
const grace = 3_000;

/** "" when it is ready for traffic, else why not. */
async function readiness(address: string): Promise<string> {
  try {
    const question = { secure: false, host: address, port: ports.status, path: "/", timeout };
    const { status, body } = await httpGet(question);
    return status === 200 ? "" : ((JSON.parse(body) as { reason?: string }).reason ?? `answers ${status}`);
  } catch (error) {
    return `does not answer: ${(error as Error).message}`;
  }
}

async function serveIdentity(
  desired: DesiredPod,
  folder: string,
  dnsNames: () => readonly string[],
  context: PodContext,
) {
  // the sidecar sees only this folder, as another user
  await mkdir(folder, { recursive: true, mode: 0o755 });
  return await serveWorkloadApi({
    socketPath: join(folder, "agent.sock"),
    socketMode: 0o600,
    owner: { uid: sidecarUser, gid: sidecarUser },
    identity: spiffeId(context.trustDomain, desired.namespace, desired.serviceAccount),
    authority: context.authority,
    svidTtlSeconds: context.svidTtlSeconds,
    dnsNames,
  });
}

function launchOf(
  desired: DesiredPod,
  place: { address: string; folder: string },
  identityFolder: string,
  context: PodContext,
) {
  return sidecarLaunch({
    launcher: context.launcher,
    network: namespacePath(place.folder),
    root: context.sidecarRoot,
    scratch: context.layout.scratch,
    programFolder: context.sidecarProgram,
    identityFolder,
    podName: desired.name,
    podNamespace: desired.namespace,
    podAddress: place.address,
    serviceAccount: desired.serviceAccount,
    workload: `${desired.owner.kind}/${desired.owner.name}`,
    trustDomain: context.trustDomain,
    nats: context.nats,
  });
}

/** The pod's network must be there. Rejects when its socket cannot be served. */
export async function startSidecar(
  desired: DesiredPod,
  place: { readonly address: string; readonly folder: string },
  context: PodContext,
): Promise<Sidecar> {
  const identityFolder = join(place.folder, "spire");
  const names = (): readonly string[] => serviceNames(context.services(), desired.namespace, desired.labels);
  let issuedFor = names();
  const dnsNames = (): readonly string[] => (issuedFor = names());
  const workloadApi = await serveIdentity(desired, identityFolder, dnsNames, context);
  let reason = "is starting";
  let pause = firstPause;
  let watching = true;
  let turn = 0;
  let timer: NodeJS.Timeout | undefined;
  const settled = Promise.withResolvers<void>();

  const keeper = keep({
    launch: launchOf(desired, place, identityFolder, context),
    log: logFile(context.layout, desired.namespace, desired.name, sidecarName),
    onChange: () => {
      if (keeper.state !== "running") {
        reason = keeper.reason;
        pause = firstPause;
      }
      lookIn(firstPause);
      context.onChange();
    },
  });

  /** Instead of the look that was to come, and of one that waits for an answer from before. */
  const lookIn = (milliseconds: number): void => {
    clearTimeout(timer);
    turn += 1;
    const own = turn;
    timer = watching ? setTimeout(() => void look(own), milliseconds) : undefined;
  };
  /** Often until it is ready, then now and then. */
  const look = async (own: number): Promise<void> => {
    const now = keeper.state === "running" ? await readiness(place.address) : keeper.reason;
    if (!watching || own !== turn) {
      return;
    }
    if (now === "") {
      settled.resolve();
    }
    const changed = now !== reason;
    reason = now;
    pause = Math.min(pause * 1.3, longestPause);
    lookIn(now === "" ? recheck : pause);
    if (changed) {
      context.onChange();
    }
  };

  const stopWatching = (): void => {
    watching = false;
    clearTimeout(timer);
    settled.resolve();
  };
  const drain = (): void => {
    stopWatching();
    if (keeper.inner !== undefined) {
      const { program, args, environment } = drainLaunch(context.launcher, keeper.inner);
      // ends with the sidecar at the latest; without it callers meet a closed connection
      execFile(program, args, { env: environment }, () => undefined);
    }
  };
  return {
    get ready() {
      return reason === "" && keeper.state === "running";
    },
    get view() {
      const { state, restarts, inner } = keeper;
      return { name: sidecarName, state, ready: reason === "", reason, restarts, pid: inner };
    },
    settled: settled.promise,
    checkNames() {
      if (names().join() !== issuedFor.join()) {
        // what fails is reported and tried again
        workloadApi.rotateNow().catch(() => undefined);
      }
    },
    drain,
    async stop() {
      stopWatching();
      await keeper.stop("SIGTERM", grace);
      await workloadApi.close();
    },
  };
}
