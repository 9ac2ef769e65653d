/** One container of a pod: its process, started again when it ends, and its probes. */
import type { Container } from "../api/pod.ts";
import { keep, type Keeper } from "./keeper.ts";
import type { Launch } from "./launch.ts";
import { type FollowedProbe, followProbe, type ProbeTarget } from "./probes.ts";

export interface ContainerView {
  readonly name: string;
  readonly state: string;
  readonly ready: boolean;
  readonly reason: string;
  readonly restarts: number;
  /** Of the process, or of the init above it, as the engine numbers processes. */
  readonly pid: number | undefined;
}

export interface ContainerOptions {
  readonly container: Container;
  readonly address: string;
  readonly launch: Launch;
  readonly log: string;
  /** Whether it is started again after it ended with this status. */
  readonly restart: (status: number | null) => boolean;
  /** How to run a command beside the process with this id. */
  readonly enter: (pid: number, command: readonly string[]) => Launch;
  readonly onChange: () => void;
}

/** Runs until stopped. */
export class RunningContainer {
  readonly #options: ContainerOptions;
  readonly #keeper: Keeper;
  #startup: FollowedProbe | undefined;
  #readiness: FollowedProbe | undefined;
  #liveness: FollowedProbe | undefined;
  #probed: number | undefined;

  constructor(options: ContainerOptions) {
    this.#options = options;
    this.#keeper = keep({
      launch: options.launch,
      log: options.log,
      restart: options.restart,
      onChange: () => {
        this.#followProcess();
        options.onChange();
      },
    });
  }

  get ready(): boolean {
    const { readinessProbe } = this.#options.container;
    return (
      this.#keeper.state === "running" &&
      this.#started() &&
      (readinessProbe === undefined || this.#readiness?.passed === true)
    );
  }

  get completed(): boolean {
    return this.#keeper.state === "completed";
  }

  /** Why it is not ready; "" when it is. */
  get reason(): string {
    if (this.ready) {
      return "";
    }
    const probe = this.#started() ? this.#readiness : this.#startup;
    return this.#keeper.reason || (this.completed ? "has ended" : probe?.reason || "is starting");
  }

  /** Ended, and not to be started again, with a failure. */
  get failed(): boolean {
    return this.completed && this.#keeper.reason !== "";
  }

  get view(): ContainerView {
    const { state, restarts, inner } = this.#keeper;
    const { name } = this.#options.container;
    return { name, state, ready: this.ready, reason: this.reason, restarts, pid: inner };
  }

  async stop(grace: number): Promise<void> {
    this.#stopProbes();
    await this.#keeper.stop("SIGTERM", grace);
  }

  #started(): boolean {
    return this.#options.container.startupProbe === undefined || this.#startup?.passed === true;
  }

  /** A new process is probed anew. */
  #followProcess(): void {
    const pid = this.#keeper.state === "running" ? this.#keeper.pid : undefined;
    if (pid === this.#probed) {
      return;
    }
    this.#stopProbes();
    this.#probed = pid;
    if (pid !== undefined) {
      const { startupProbe } = this.#options.container;
      if (startupProbe === undefined) {
        this.#startProbes();
      } else {
        this.#startup = followProbe(startupProbe, this.#target(), () => this.#onStartup());
      }
    }
  }

  #onStartup(): void {
    if (this.#startup?.passed === true) {
      this.#startup.stop();
      this.#startProbes();
    } else if (this.#startup?.passed === false) {
      this.#kill(`did not start: ${this.#startup.reason}`);
    }
    this.#options.onChange();
  }

  #startProbes(): void {
    const { readinessProbe, livenessProbe } = this.#options.container;
    if (readinessProbe !== undefined) {
      this.#readiness = followProbe(readinessProbe, this.#target(), this.#options.onChange);
    }
    if (livenessProbe !== undefined) {
      const onChange = (): void => {
        if (this.#liveness?.passed === false) {
          this.#kill(`is not alive: ${this.#liveness.reason}`);
        }
      };
      this.#liveness = followProbe(livenessProbe, this.#target(), onChange);
    }
  }

  #kill(why: string): void {
    this.#stopProbes();
    this.#keeper.note(`the container ${why}; it is ended`);
    this.#keeper.signal("SIGKILL");
  }

  #stopProbes(): void {
    for (const probe of [this.#startup, this.#readiness, this.#liveness]) {
      probe?.stop();
    }
    this.#startup = undefined;
    this.#readiness = undefined;
    this.#liveness = undefined;
  }

  #target(): ProbeTarget {
    const { address, container, enter } = this.#options;
    return {
      address,
      container,
      enter: (command) => (this.#keeper.inner === undefined ? undefined : enter(this.#keeper.inner, command)),
    };
  }
}
