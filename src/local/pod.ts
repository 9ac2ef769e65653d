/** One pod: its network, its sidecar, its containers, from start to end. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { annotations, readPorts } from "../api/annotations.ts";
import type { Service } from "../api/core.ts";
import type { Container } from "../api/pod.ts";
import type { Authority } from "../identity/authority.ts";
import { captureRules } from "../inject/capture.ts";
import type { AddressPlan } from "./addresses.ts";
import { type ContainerView, RunningContainer } from "./container.ts";
import type { ConfigMaps } from "./container-environment.ts";
import type { DesiredPod } from "./desired.ts";
import { type Layout, logFile, podFolder } from "./layout.ts";
import { hostsFile, resolvConf } from "./names.ts";
import { setUpPod, tearDownPod } from "./network.ts";
import { type ContainerProcess, entering, launchOf, type PodPlace, processOf } from "./pod-process.ts";
import { type Sidecar, startSidecar } from "./pod-sidecar.ts";

export interface PodContext {
  readonly layout: Layout;
  readonly plan: AddressPlan;
  readonly launcher: string;
  readonly authority: Authority;
  readonly svidTtlSeconds: number;
  readonly trustDomain: string;
  /** `host:port` */
  readonly nats: string;
  readonly sidecarRoot: string;
  readonly sidecarProgram: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly configMaps: () => ConfigMaps;
  readonly services: () => readonly Service[];
  /** Something about the pod changed. */
  readonly onChange: () => void;
}

/** A container, and what a command beside it needs. */
export type PodContainerView = ContainerView & Partial<ContainerProcess>;

export interface LocalPodHandle {
  readonly desired: DesiredPod;
  readonly number: number;
  readonly address: string;
  /** Its containers may get traffic. */
  readonly ready: boolean;
  readonly terminating: boolean;
  /** Its work is done, and it will not be started again. */
  readonly completed: boolean;
  /** Whether it is past what takes the machine's time: its containers have been started. */
  readonly started: boolean;
  /** Why it is not ready, for people; "" when it is. */
  readonly reason: string;
  /** The sidecar first. */
  readonly containers: readonly PodContainerView[];
  /** Services came or went, which its identity names. */
  checkNames(): void;
  /** Takes its endpoint away, then ends its processes and its network. */
  stop(): Promise<void>;
}

/** How long endpoints of other sidecars may take to forget the pod before its processes are told to end. */
const drainMilliseconds = 500;
/** An end during the start waits for it so long. */
const startPatience = 5_000;
/** Until a start that failed is tried again; longer each time. */
const firstPause = 500;
const longestPause = 30_000;

type Phase = "network" | "sidecar" | "init" | "running" | "failed";

export function startPod(
  desired: DesiredPod,
  number: number,
  address: string,
  context: PodContext,
): LocalPodHandle {
  return new LocalPod(desired, { number, address, folder: podFolder(context.layout, number) }, context);
}

class LocalPod implements LocalPodHandle {
  readonly desired: DesiredPod;
  readonly #place: PodPlace;
  readonly #context: PodContext;
  readonly #containers: { readonly running: RunningContainer; readonly process: ContainerProcess }[] = [];
  readonly #started: Promise<void>;
  #sidecar: Sidecar | undefined;
  #init: RunningContainer | undefined;
  #phase: Phase = "network";
  #failure = "";
  #terminating = false;

  constructor(desired: DesiredPod, place: PodPlace, context: PodContext) {
    this.desired = desired;
    this.#place = place;
    this.#context = context;
    this.#started = this.#startUntilDone();
  }

  get number(): number {
    return this.#place.number;
  }

  get address(): string {
    return this.#place.address;
  }

  get terminating(): boolean {
    return this.#terminating;
  }

  get started(): boolean {
    return this.#phase === "running" || this.#phase === "failed";
  }

  get ready(): boolean {
    return (
      this.#phase === "running" &&
      !this.#terminating &&
      this.#sidecar?.ready !== false &&
      this.#containers.every(({ running }) => running.ready)
    );
  }

  get completed(): boolean {
    return (
      this.#phase === "running" &&
      this.#containers.every(({ running }) => running.completed && !running.failed)
    );
  }

  get reason(): string {
    if (this.#terminating) {
      return "ending";
    }
    switch (this.#phase) {
      case "failed":
        return this.#failure;
      case "network":
        return this.#failure || "its network is being set up";
      case "init":
        return `init container ${this.#init?.view.name}: ${this.#init?.reason}`;
      case "sidecar":
      case "running":
        return this.#sidecar?.ready === false
          ? `its sidecar ${this.#sidecar.view.reason}`
          : this.#containerReason();
    }
  }

  get containers(): readonly PodContainerView[] {
    const own = this.#containers.map(({ running, process }) => ({ ...running.view, ...process }));
    const init = this.#init === undefined ? [] : [this.#init.view];
    return this.#sidecar === undefined ? [...init, ...own] : [this.#sidecar.view, ...init, ...own];
  }

  checkNames(): void {
    this.#sidecar?.checkNames();
  }

  async stop(): Promise<void> {
    const served = this.ready;
    this.#terminating = true;
    this.#context.onChange();
    this.#sidecar?.drain();
    if (served) {
      await sleep(drainMilliseconds);
    }
    const grace = (this.desired.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    await this.#init?.stop(grace);
    await Promise.race([this.#started, sleep(startPatience)]);
    await this.#end(grace);
    await rm(this.#place.folder, { recursive: true, force: true });
  }

  /** Never rejects. What failed for want of something, as room on the disk, a lock or a folder, may have it later. */
  async #startUntilDone(): Promise<void> {
    for (let pause = firstPause; !this.#terminating; pause = Math.min(pause * 2, longestPause)) {
      try {
        await this.#start();
        return;
      } catch (error) {
        this.#phase = "failed";
        this.#failure = `${(error as Error).message}; it is tried again`;
        this.#context.onChange();
      }
      const end = Date.now() + pause;
      // what cannot be ended is in the way of the next start, which tells so
      await this.#end(0).catch(() => undefined);
      await this.#until(() => Date.now() >= end);
    }
  }

  /** Ends what runs of it, however far its start has come, and its network. */
  async #end(grace: number): Promise<void> {
    await this.#init?.stop(grace);
    await Promise.all(this.#containers.map(({ running }) => running.stop(grace)));
    await this.#sidecar?.stop();
    await tearDownPod(this.#place.folder);
    this.#init = undefined;
    this.#containers.length = 0;
    this.#sidecar = undefined;
  }

  async #start(): Promise<void> {
    this.#phase = "network";
    await this.#setUpNetwork();
    if (this.desired.meshed && !this.#terminating) {
      this.#phase = "sidecar";
      this.#sidecar = await startSidecar(this.desired, this.#place, this.#context);
      this.#context.onChange();
      await this.#sidecar.settled;
    }
    for (const container of this.desired.spec.initContainers ?? []) {
      await this.#runInit(container);
    }
    this.#init = undefined;
    if (!this.#terminating) {
      this.#phase = "running";
      const policy = this.desired.restartPolicy;
      const again = (status: number | null): boolean =>
        policy === "Always" || (policy === "OnFailure" && status !== 0);
      for (const container of this.desired.spec.containers) {
        const process = processOf(container, this.desired, this.#place, this.#context);
        this.#containers.push({ running: this.#run(container, process, again), process });
      }
      this.#context.onChange();
    }
  }

  async #setUpNetwork(): Promise<void> {
    const { plan } = this.#context;
    const { address, folder, number } = this.#place;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(join(folder, "resolv.conf"), resolvConf(this.desired.namespace, plan.gateway));
    await writeFile(join(folder, "hosts"), hostsFile(this.desired.name, address));
    const capture = this.desired.meshed
      ? captureRules({
          ignoreIncomingPorts: this.#ports(annotations.ignoreIncomingPorts),
          ignoreOutgoingPorts: this.#ports(annotations.ignoreOutgoingPorts),
          ipv6: false,
          exemptSources: [plan.gateway],
        })
      : undefined;
    await setUpPod(plan, { number, address, capture }, folder);
  }

  #ports(annotation: string): readonly number[] {
    const reading = readPorts(this.desired.annotations[annotation]);
    return "value" in reading ? (reading.value ?? []) : [];
  }

  /** Resolves when it has done its work, or the pod ends; one with restartPolicy Always: when it is ready. */
  async #runInit(container: Container): Promise<void> {
    if (this.#terminating) {
      return;
    }
    const process = processOf(container, this.desired, this.#place, this.#context);
    if (container.restartPolicy === "Always") {
      const running = this.#run(container, process, () => true);
      this.#containers.push({ running, process });
      await this.#until(() => running.ready);
      return;
    }
    this.#phase = "init";
    const running = this.#run(container, process, (status) => status !== 0);
    this.#init = running;
    await this.#until(() => running.completed);
    await running.stop(0);
  }

  async #until(satisfied: () => boolean): Promise<void> {
    while (!satisfied() && !this.#terminating) {
      await sleep(20);
    }
  }

  #run(
    container: Container,
    process: ContainerProcess,
    restart: (status: number | null) => boolean,
  ): RunningContainer {
    const { layout, launcher, onChange } = this.#context;
    return new RunningContainer({
      container,
      address: this.address,
      launch: launchOf(container, process, this.desired, this.#place, this.#context),
      log: logFile(layout, this.desired.namespace, this.desired.name, container.name),
      restart,
      enter: entering(process, launcher),
      onChange,
    });
  }

  #containerReason(): string {
    const waiting = this.#containers.find(({ running }) => !running.ready)?.running;
    return waiting === undefined ? "" : `container ${waiting.view.name} ${waiting.reason}`;
  }
}
