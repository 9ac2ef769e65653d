/** Runs programs of the machine to their end. */
import { spawn } from "node:child_process";

/** A program failed; the message has its last words. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
}

export interface RunOptions {
  readonly input?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  /** Default: this program's own. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Resolves with standard output. Throws ProgramError when the program cannot be started, ends with another status than 0, or not in
 * time: then it is killed, and what it has begun is not waited for.
 */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: options.environment ?? process.env,
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (errors = `${errors}${chunk.toString()}`.slice(-4096)));
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    const title = `${program} ${args.join(" ")}`.slice(0, 200);
    const timeout = options.timeout ?? 30_000;
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      // processes of its own may hold the other ends
      child.stdout.destroy();
      child.stderr.destroy();
      reject(
        new ProgramError(
          `"${title}" has not ended within ${timeout / 1000} s: ${errors.trim() || "no message"}`,
        ),
      );
    }, timeout);
    child.on("error", (cause) => {
      clearTimeout(timer);
      reject(
        new ProgramError(`cannot run ${program}: ${cause.message}; is its package installed?`, { cause }),
      );
    });
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      if (status === 0) {
        resolve(output);
      } else {
        reject(
          new ProgramError(
            `"${title}" failed (${signal ?? `status ${status}`}): ${errors.trim() || "no message"}`,
          ),
        );
      }
    });
  });
}
