/** Keeps a process running: it is started again when it ends, with a pause that grows while it keeps ending. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Launch } from "./launch.ts";
import { openLog } from "./log-file.ts";

const firstPause = 100;
const longestPause = 30_000;
/** After this long a process counts as well. */
const healthyAfter = 60_000;

export type KeeperState = "running" | "waiting" | "stopped" | "completed";

export interface Keeper {
  readonly pid: number | undefined;
  readonly state: KeeperState;
  /** Why it is not running, or "". */
  readonly reason: string;
  readonly restarts: number;
  signal(signal: NodeJS.Signals): void;
  /** Ends it: the signal, and SIGKILL after the grace in milliseconds. */
  stop(signal: NodeJS.Signals, grace: number): Promise<void>;
}

export interface KeeperOptions {
  readonly launch: Launch;
  readonly log: string;
  /** Whether it is started again after it ended with this status; default: always. */
  readonly restart?: (status: number | null) => boolean;
  /** Called when it started, ended, or will not be started again. */
  readonly onChange: () => void;
}

interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

function describe(ending: Ending): string {
  return ending.signal === null ? `ended with status ${ending.status}` : `was ended by ${ending.signal}`;
}

export function keep(options: KeeperOptions): Keeper {
  const log = openLog(options.log);
  let child: ChildProcess | undefined;
  let state: KeeperState = "waiting";
  let reason = "";
  let restarts = 0;
  let pause = firstPause;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  const ended = Promise.withResolvers<void>();

  const finish = (next: KeeperState): void => {
    state = next;
    log.close();
    ended.resolve();
    options.onChange();
  };

  const onEnd = (ending: Ending, startedAt: number): void => {
    child = undefined;
    if (stopping) {
      finish("stopped");
      return;
    }
    if (options.restart?.(ending.status) === false) {
      reason = ending.status === 0 ? "" : describe(ending);
      finish("completed");
      return;
    }
    if (Date.now() - startedAt > healthyAfter) {
      pause = firstPause;
    }
    restarts++;
    state = "waiting";
    reason = `${describe(ending)}; started again in ${pause / 1000} s`;
    log.write(`[local mode] the process ${reason}\n`);
    timer = setTimeout(start, pause);
    pause = Math.min(pause * 2, longestPause);
    options.onChange();
  };

  const start = (): void => {
    const startedAt = Date.now();
    let over = false;
    const once = (ending: Ending): void => {
      if (!over) {
        over = true;
        onEnd(ending, startedAt);
      }
    };
    const started = spawn(options.launch.program, options.launch.args, {
      env: options.launch.environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    state = "running";
    reason = "";
    started.stdout?.on("data", (chunk: Buffer) => log.write(chunk));
    started.stderr?.on("data", (chunk: Buffer) => log.write(chunk));
    started.on("error", (error) => {
      log.write(`[local mode] cannot start ${options.launch.program}: ${error.message}\n`);
      once({ status: 127, signal: null });
    });
    started.on("close", (status, signal) => once({ status, signal }));
    options.onChange();
  };

  start();
  return {
    get pid() {
      return child?.pid;
    },
    get state() {
      return state;
    },
    get reason() {
      return reason;
    },
    get restarts() {
      return restarts;
    },
    signal: (signal) => void child?.kill(signal),
    async stop(signal, grace) {
      stopping = true;
      clearTimeout(timer);
      if (child === undefined) {
        if (state !== "completed" && state !== "stopped") {
          finish("stopped");
        }
        return;
      }
      child.kill(signal);
      const killer = setTimeout(() => child?.kill("SIGKILL"), grace);
      await ended.promise;
      clearTimeout(killer);
    },
  };
}
