/** Runs programs of the machine: to their end, or until they are stopped. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";

export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Runs a program to its end and returns its standard output. Throws CommandError when its status is not 0. */
export function runNow(command: readonly string[], input = ""): string {
  const [program, ...args] = command as [string, ...string[]];
  const result = spawnSync(program, args, { input, encoding: "utf8", maxBuffer: 1 << 26 });
  if (result.error !== undefined) {
    throw new CommandError(`cannot run ${program}: ${result.error.message}`, { cause: result.error });
  }
  if (result.status !== 0) {
    const how = result.signal ?? `status ${result.status}`;
    throw new CommandError(`"${command.join(" ").slice(0, 200)}" failed (${how}): ${result.stderr.trim()}`);
  }
  return result.stdout;
}

/** The same without blocking, for what takes long. */
export async function run(command: readonly string[]): Promise<string> {
  const child = startProgram(command);
  let output = "";
  child.process.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  const [status, signal] = (await once(child.process, "close")) as [number | null, string | null];
  if (status !== 0) {
    const how = signal ?? `status ${status}`;
    throw new CommandError(`"${command.join(" ").slice(0, 200)}" failed (${how}): ${child.errors().trim()}`);
  }
  return output;
}

export interface RunningProgram {
  readonly process: ChildProcess;
  readonly pid: number;
  /** The last of what it wrote to standard error. */
  errors(): string;
  stop(): Promise<void>;
}

/** Starts a program, which ends with this process at the latest. One that cannot be started shows it by ending at once. */
export function startProgram(command: readonly string[]): RunningProgram {
  const [program, ...args] = command as [string, ...string[]];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  const endWithUs = (): boolean => child.kill("SIGKILL");
  process.on("exit", endWithUs);
  child.on("exit", () => process.off("exit", endWithUs));
  child.on("error", (cause) => (errors += `cannot run ${program}: ${cause.message}`));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-4000)));
  return {
    process: child,
    pid: child.pid ?? 0,
    errors: () => errors,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
        return;
      }
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
