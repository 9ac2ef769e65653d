/** Keeps a process running: it is started again when it ends, with a pause that grows while it keeps ending. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Launch } from "./launch.ts";
import { openLog } from "./log-file.ts";

const firstPause = 100;
const longestPause = 30_000;
/** After this long a process counts as well. */
const healthyAfter = 60_000;

export type KeeperState = "running" | "waiting" | "stopped" | "completed";

export interface Keeper {
  /** The launcher, which passes signals on. */
  readonly pid: number | undefined;
  /** Process 1 of the namespaces that the launcher has made. */
  readonly inner: number | undefined;
  readonly state: KeeperState;
  /** Why it is not running, or "". */
  readonly reason: string;
  readonly restarts: number;
  signal(signal: NodeJS.Signals): void;
  /** Writes a line of ours into the process's log. */
  note(line: string): void;
  /** Ends it: the signal, and SIGKILL after the grace in milliseconds. */
  stop(signal: NodeJS.Signals, grace: number): Promise<void>;
}

export interface KeeperOptions {
  readonly launch: Launch;
  readonly log: string;
  /** Whether it is started again after it ended with this status; default: always. */
  readonly restart?: (status: number | null) => boolean;
  /** Called when it has started, ended, or will not be started again; never before `keep` has returned. */
  readonly onChange: () => void;
}

interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Status of a process that a signal ended, as the launcher passes it on. */
const signalled = 128;

function describe({ status, signal }: Ending): string {
  if (signal !== null) {
    return `was ended by ${signal}`;
  }
  return status !== null && status > signalled
    ? `was ended by signal ${status - signalled}`
    : `ended with status ${status}`;
}

/** The first child of a process. */
function childOf(pid: number | undefined): number | undefined {
  if (pid === undefined) {
    return undefined;
  }
  try {
    const first = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0] ?? "";
    return first === "" ? undefined : Number(first);
  } catch {
    return undefined;
  }
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
  const note = (line: string): void => log.write(`[local mode] ${line}\n`);
  const changed = (): void => queueMicrotask(options.onChange);

  const finish = (next: KeeperState): void => {
    state = next;
    log.close();
    ended.resolve();
    changed();
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
    note(`the process ${reason}`);
    timer = setTimeout(start, pause);
    pause = Math.min(pause * 2, longestPause);
    changed();
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
    const fail = (error: Error): void => {
      note(`cannot start ${options.launch.program}: ${error.message}`);
      once({ status: 127, signal: null });
    };
    let started: ChildProcess;
    try {
      started = spawn(options.launch.program, options.launch.args, {
        env: options.launch.environment,
        stdio: ["ignore", "pipe", "pipe"],
      });
    } catch (error) {
      // some failures, as arguments that are too long or no memory, are thrown rather than told by an event
      fail(error as Error);
      return;
    }
    child = started;
    state = "running";
    reason = "";
    started.stdout?.on("data", (chunk: Buffer) => log.write(chunk));
    started.stderr?.on("data", (chunk: Buffer) => log.write(chunk));
    started.on("error", fail);
    started.on("close", (status, signal) => once({ status, signal }));
    changed();
  };

  start();
  return {
    get pid() {
      return child?.pid;
    },
    get inner() {
      return childOf(child?.pid);
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
    note,
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
