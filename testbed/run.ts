/** Runs programs to their end: on the host, and in the bed's namespaces. */
import { spawn } from "node:child_process";
import { BedError } from "./errors.ts";

export interface RunOptions {
  readonly input?: string;
  /** Milliseconds; a minute when absent. */
  readonly timeout?: number;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface Result {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** Resolves when the program has ended, in whatever way. Throws BedError when it cannot be started or takes too long. */
export function attempt(command: readonly string[], options: RunOptions = {}): Promise<Result> {
  const [program = "", ...args] = command;
  const timeout = options.timeout ?? 60_000;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.environment },
      timeout,
      killSignal: "SIGKILL",
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    child.on("error", (cause) => {
      reject(
        new BedError(`cannot run ${program}: ${cause.message}; "make cluster" installs what it needs`, {
          cause,
        }),
      );
    });
    child.on("close", (status, signal) => {
      if (signal === "SIGKILL") {
        reject(new BedError(`"${command.join(" ").slice(0, 300)}" did not end within ${timeout / 1000} s`));
      } else {
        resolve({
          status: status ?? 1,
          output: Buffer.concat(output).toString(),
          errors: Buffer.concat(errors).toString(),
        });
      }
    });
  });
}

/** Standard output of a program that succeeds. Throws BedError otherwise, with its last words. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await attempt(command, options);
  if (result.status !== 0) {
    const words = result.errors.trim() || result.output.trim() || "it said nothing";
    throw new BedError(
      `"${command.join(" ").slice(0, 300)}" failed (status ${result.status}): ${words.slice(-2000)}`,
    );
  }
  return result.output;
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((done) => setTimeout(done, milliseconds));
