/** One pod: its network, its sidecar, its containers, from start to end. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { annotations, readPorts } from "../api/annotations.ts";
import type { Container } from "../api/pod.ts";
import type { Authority } from "../identity/authority.ts";
import { serveWorkloadApi, type WorkloadApiServer } from "../identity/workload-api.ts";
import { captureRules } from "../inject/capture.ts";
import { ports, sidecarUser, spiffeId } from "../wire/sidecar.ts";
import type { AddressPlan } from "./addresses.ts";
import { environmentOf, expand, type ConfigMaps } from "./container-environment.ts";
import type { DesiredPod } from "./desired.ts";
import { keep, type Keeper } from "./keeper.ts";
import { containerLaunch, sidecarLaunch } from "./launch.ts";
import { type Layout, logFile, podFolder } from "./layout.ts";
import { resolvConf } from "./names.ts";
import { setUpPod, tearDownPod } from "./network.ts";
import { httpStatus, runProbe } from "./probes.ts";

export interface PodContext {
  readonly layout: Layout;
  readonly plan: AddressPlan;
  readonly authority: Authority;
  readonly svidTtlSeconds: number;
  readonly trustDomain: string;
  /** `host:port` */
  readonly nats: string;
  readonly sidecarRoot: string;
  readonly sidecarProgram: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly configMaps: () => ConfigMaps;
  /** Something about the pod changed. */
  readonly onChange: () => void;
}

export interface ContainerView {
  readonly name: string;
  readonly state: string;
  readonly ready: boolean;
  readonly reason: string;
  readonly restarts: number;
  readonly pid: number | undefined;
}

export interface LocalPodHandle {
  readonly desired: DesiredPod;
  readonly number: number;
  readonly address: string;
  /** Its containers may get traffic. */
  readonly ready: boolean;
  readonly terminating: boolean;
  /** A Job's pod that has done its work. */
  readonly completed: boolean;
  /** Why it is not ready, for people; "" when it is. */
  readonly reason: string;
  readonly containers: readonly ContainerView[];
  /** Environment of the first container, for `exec`. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  stop(): Promise<void>;
}

/** How long endpoints of other sidecars may take to forget the pod before its processes are told to end. */
const drainMilliseconds = 500;
const sidecarGrace = 2_000;
const sidecarPollMilliseconds = 20;
const sidecarRecheckMilliseconds = 2_000;

interface RunningContainer {
  readonly container: Container;
  readonly keeper: Keeper;
  readonly environment: Readonly<Record<string, string>>;
  ready: boolean;
  reason: string;
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

function portsOf(desired: DesiredPod, key: string): readonly number[] {
  const reading = readPorts(desired.annotations[key]);
  return "value" in reading ? (reading.value ?? []) : [];
}

export function startPod(
  desired: DesiredPod,
  number: number,
  address: string,
  context: PodContext,
): LocalPodHandle {
  const { layout, plan } = context;
  const folder = podFolder(layout, number);
  const containers: RunningContainer[] = [];
  let workloadApi: WorkloadApiServer | undefined;
  let sidecar: Keeper | undefined;
  let sidecarReady = false;
  let sidecarTimer: NodeJS.Timeout | undefined;
  let terminating = false;
  let networked = false;
  let phase = "setting up its network";
  let failure = "";

  const owner = `${desired.owner.kind}/${desired.owner.name}`;
  const log = (container: string): string => logFile(layout, desired.namespace, desired.name, container);
  const runs = (container: RunningContainer): boolean => container.keeper.state === "running";
  const isReady = (): boolean =>
    failure === "" &&
    phase === "" &&
    !terminating &&
    (!desired.meshed || sidecarReady) &&
    containers.length > 0 &&
    containers.every((container) => container.ready && runs(container));

  const setUp = async (): Promise<void> => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // the sidecar sees only this folder, as another user
    await mkdir(join(folder, "spire"), { recursive: true, mode: 0o755 });
    await writeFile(join(folder, "resolv.conf"), resolvConf(desired.namespace, plan.gateway));
    await writeFile(
      join(folder, "hosts"),
      `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${address} ${desired.name}\n`,
    );
    const capture = desired.meshed
      ? captureRules({
          ignoreIncomingPorts: portsOf(desired, annotations.ignoreIncomingPorts),
          ignoreOutgoingPorts: portsOf(desired, annotations.ignoreOutgoingPorts),
          ipv6: false,
        })
      : undefined;
    const network = setUpPod(plan, { number, address, capture });
    if (desired.meshed) {
      workloadApi = await serveWorkloadApi({
        socketPath: join(folder, "spire", "agent.sock"),
        socketMode: 0o600,
        owner: { uid: sidecarUser, gid: sidecarUser },
        identity: spiffeId(context.trustDomain, desired.namespace, desired.serviceAccount),
        authority: context.authority,
        svidTtlSeconds: context.svidTtlSeconds,
      });
    }
    await network;
    networked = true;
  };

  const startSidecar = (): void => {
    sidecar = keep({
      launch: sidecarLaunch({
        number,
        root: context.sidecarRoot,
        programFolder: context.sidecarProgram,
        identityFolder: join(folder, "spire"),
        podName: desired.name,
        podNamespace: desired.namespace,
        podAddress: address,
        serviceAccount: desired.serviceAccount,
        workload: owner,
        trustDomain: context.trustDomain,
        nats: context.nats,
      }),
      log: log("sidecar"),
      onChange: context.onChange,
    });
  };

  /** Often until it is ready, then now and then. */
  const watchSidecar = async (): Promise<void> => {
    let ready = false;
    try {
      ready = (await httpStatus(address, ports.status, "/", 1000)) === 200;
    } catch {
      ready = false;
    }
    if (ready !== sidecarReady) {
      sidecarReady = ready;
      context.onChange();
    }
    if (!terminating) {
      sidecarTimer = setTimeout(
        () => void watchSidecar(),
        ready ? sidecarRecheckMilliseconds : sidecarPollMilliseconds,
      );
    }
  };

  const untilSidecarReady = async (): Promise<void> => {
    while (!sidecarReady && !terminating) {
      await new Promise((done) => setTimeout(done, sidecarPollMilliseconds));
    }
  };

  const launchOf = (container: Container, environment: Readonly<Record<string, string>>) => {
    const root = desired.annotations[annotations.localRoot];
    const rootFolder = root === undefined ? undefined : resolve(desired.folder, root);
    const directory = container.workingDir ?? (rootFolder === undefined ? "." : "/");
    const user = container.securityContext?.runAsUser ?? desired.spec.securityContext?.runAsUser ?? 0;
    return containerLaunch({
      number,
      state: layout.state,
      resolvConf: join(folder, "resolv.conf"),
      hosts: join(folder, "hosts"),
      root: rootFolder,
      workingDirectory: rootFolder === undefined ? resolve(desired.folder, directory) : directory,
      user,
      group: container.securityContext?.runAsGroup ?? desired.spec.securityContext?.runAsGroup ?? user,
      command: [...(container.command ?? []), ...(container.args ?? [])].map((part) =>
        expand(part, environment),
      ),
      environment,
    });
  };

  const environmentFor = (container: Container): Readonly<Record<string, string>> =>
    environmentOf(container, { ...desired, address }, context.environment, context.configMaps());

  const runInitContainers = async (): Promise<void> => {
    for (const container of desired.spec.initContainers ?? []) {
      phase = `init container ${container.name}`;
      await new Promise<void>((done) => {
        const keeper = keep({
          launch: launchOf(container, environmentFor(container)),
          log: log(container.name),
          restart: (status) => status !== 0 && !terminating,
          onChange: () => {
            if (keeper?.state === "completed" || keeper?.state === "stopped") {
              done();
            }
            context.onChange();
          },
        });
      });
    }
  };

  /** Liveness and readiness of one container, each by its own period. */
  const probe = async (running: RunningContainer): Promise<void> => {
    const { container } = running;
    const target = { number, address, meshed: desired.meshed, container, environment: running.environment };
    const liveness = running.ready ? container.livenessProbe : undefined;
    const failed = liveness === undefined ? "" : await runProbe(liveness, target);
    running.failures = failed === "" ? 0 : running.failures + 1;
    if (running.failures >= (liveness?.failureThreshold ?? 3)) {
      running.failures = 0;
      running.keeper.signal("SIGKILL");
    }
    const reason = runs(running) ? await readiness(running, target) : running.keeper.reason;
    if (reason !== running.reason || (reason === "") !== running.ready) {
      running.ready = reason === "";
      running.reason = reason;
      context.onChange();
    }
    if (!terminating) {
      const period = (container.readinessProbe?.periodSeconds ?? liveness?.periodSeconds ?? 10) * 1000;
      running.timer = setTimeout(() => void probe(running), running.ready ? period : Math.min(period, 100));
    }
  };

  const readiness = async (
    running: RunningContainer,
    target: Parameters<typeof runProbe>[1],
  ): Promise<string> => {
    const check = running.container.readinessProbe;
    return check === undefined ? "" : await runProbe(check, target);
  };

  const startContainer = (container: Container): void => {
    const environment = environmentFor(container);
    const policy = desired.spec.restartPolicy ?? (desired.owner.kind === "job" ? "OnFailure" : "Always");
    const keeper = keep({
      launch: launchOf(container, environment),
      log: log(container.name),
      restart: (status) => policy === "Always" || (policy === "OnFailure" && status !== 0),
      onChange: () => {
        const running = containers.find((candidate) => candidate.container === container);
        if (running !== undefined && !runs(running) && running.ready) {
          running.ready = false;
          running.reason = running.keeper.reason;
        }
        context.onChange();
      },
    });
    const running: RunningContainer = {
      container,
      keeper,
      environment,
      ready: false,
      reason: "starting",
      failures: 0,
      timer: undefined,
    };
    containers.push(running);
    void probe(running);
  };

  const start = async (): Promise<void> => {
    await setUp();
    if (terminating) {
      return;
    }
    if (desired.meshed) {
      phase = "waiting for its sidecar";
      startSidecar();
      void watchSidecar();
      context.onChange();
      await untilSidecarReady();
    }
    await runInitContainers();
    if (!terminating) {
      phase = "";
      desired.spec.containers.forEach(startContainer);
      context.onChange();
    }
  };

  const started = start().catch((error: unknown) => {
    failure = (error as Error).message;
    context.onChange();
  });

  const reason = (): string => {
    if (terminating) {
      return "ending";
    }
    if (failure !== "") {
      return failure;
    }
    if (desired.meshed && !sidecarReady && sidecar !== undefined) {
      return sidecar.reason === "" ? "its sidecar is not ready" : `its sidecar ${sidecar.reason}`;
    }
    const waiting = containers.find((container) => !container.ready);
    return phase !== ""
      ? phase
      : waiting === undefined
        ? ""
        : `container ${waiting.container.name}: ${waiting.keeper.reason || waiting.reason}`;
  };

  const view = (name: string, keeper: Keeper, ready: boolean, why: string): ContainerView => ({
    name,
    state: keeper.state,
    ready,
    reason: keeper.reason || why,
    restarts: keeper.restarts,
    pid: keeper.pid,
  });

  return {
    desired,
    number,
    address,
    get ready() {
      return isReady();
    },
    get terminating() {
      return terminating;
    },
    get completed() {
      return containers.length > 0 && containers.every((container) => container.keeper.state === "completed");
    },
    get reason() {
      return reason();
    },
    get containers() {
      const own = containers.map((running) =>
        view(running.container.name, running.keeper, running.ready, running.reason),
      );
      return sidecar === undefined
        ? own
        : [view("sidecar", sidecar, sidecarReady, sidecarReady ? "" : "not ready"), ...own];
    },
    get environment() {
      return containers[0]?.environment ?? {};
    },
    get workingDirectory() {
      return resolve(desired.folder, desired.spec.containers[0]?.workingDir ?? ".");
    },
    async stop() {
      const wasReady = isReady();
      terminating = true;
      context.onChange();
      if (wasReady) {
        await new Promise((done) => setTimeout(done, drainMilliseconds));
      }
      clearTimeout(sidecarTimer);
      containers.forEach((running) => clearTimeout(running.timer));
      await Promise.race([started, new Promise((done) => setTimeout(done, 5_000))]);
      const grace = (desired.spec.terminationGracePeriodSeconds ?? 30) * 1000;
      await Promise.all(containers.map((running) => running.keeper.stop("SIGTERM", grace)));
      await sidecar?.stop("SIGTERM", sidecarGrace);
      await workloadApi?.close();
      if (networked) {
        await tearDownPod(number);
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
